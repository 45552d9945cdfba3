"""What a client is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from . import _native as native

#: How hard to try: 0 at most once, 1 at least once, 2 exactly once.
Qos = Literal[0, 1, 2]

QOS = (native.QosLevel.AT_MOST_ONCE, native.QosLevel.AT_LEAST_ONCE, native.QosLevel.EXACTLY_ONCE)

#: Why a token is asked for: there is none, the present one ends, or the broker has refused it (a cached one will not do).
TokenReason = Literal["initial", "expiring", "rejected"]


def payload_bytes(payload: str | bytes | bytearray | memoryview) -> bytes:
    """Text is sent as UTF-8."""
    return payload.encode() if isinstance(payload, str) else bytes(payload)


def secret(text: str | bytes) -> native.Secret:
    """What the library takes as a secret, and nobody prints."""
    return native.Secret(payload_bytes(text))


@dataclass(frozen=True)
class Token:
    """What a client logs in with, for a while."""

    password: str | bytes = field(repr=False)
    #: User name; None when the token says who it is for.
    username: str | None = None
    #: How long it is valid from now on, seconds: it is renewed before. None: for ever, as far as anybody knows.
    lifetime: float | None = None

    def _to_native(self) -> native.Token:
        lifetime_ms = None if self.lifetime is None else max(0, round(self.lifetime * 1_000))
        return native.Token(username=self.username, password=secret(self.password), lifetime_ms=lifetime_ms)


class TokenRefused(Exception):
    """Raised by a token provider: there will be no token, however often it is asked. The client is closed then."""


@dataclass(frozen=True)
class Will:
    """What the broker publishes for a client that is gone without a goodbye."""

    topic: str
    payload: str | bytes
    qos: Qos = 0
    retain: bool = False
    #: How long the broker waits for the client to come back, seconds. MQTT 5 only.
    delay: int = 0

    def _to_native(self) -> native.Will:
        return native.Will(
            topic=self.topic,
            payload=payload_bytes(self.payload),
            qos=QOS[self.qos],
            retain=self.retain,
            delay_secs=self.delay,
        )


@dataclass(frozen=True)
class Certificate:
    """A client certificate and its key, both in PEM."""

    chain: str | bytes
    key: str | bytes = field(repr=False)

    def _to_native(self) -> native.ClientCertificate:
        return native.ClientCertificate(chain_pem=payload_bytes(self.chain), key_pem=secret(self.key))


class RecordStore(Protocol):
    """Keeps the records of one client. It is called on threads of the library, never twice at once, and may take its time;
    it must not use the client. What it raises is said by the client."""

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """Everything that is kept, in any order. Called once, before anything else."""

    def apply(self, changes: list[tuple[bytes, bytes | None]]) -> None:
        """Makes all of these changes or none, in this order, and comes back when they will survive. None: it is forgotten."""


class ForeignStore(native.RecordStore):
    """A store as the library calls it."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def load(self) -> list[native.StoredRecord]:
        try:
            return [native.StoredRecord(key=key, value=value) for key, value in self._store.load()]
        except Exception as error:
            raise native.StoreError.Failed(repr(error)) from error

    def apply(self, changes: list[native.StoredRecord]) -> None:
        try:
            self._store.apply([(change.key, change.value) for change in changes])
        except Exception as error:
            raise native.StoreError.Failed(repr(error)) from error
