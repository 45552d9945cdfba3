"""Messages that go out and come in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

from . import _native as native
from . import errors
from .options import QOS, Qos

_NUMBER_OF_QOS = {level: number for number, level in enumerate(QOS)}


class Message:
    """A message that has arrived."""

    __slots__ = (
        "topic",
        "payload",
        "qos",
        "is_retained",
        "is_duplicate",
        "expiry",
        "content_type",
        "response_topic",
        "correlation_data",
        "user_properties",
        "_id",
    )

    def __init__(self, message: native.Message) -> None:
        self._id = message.id
        #: Where it was published.
        self.topic: str = message.topic
        #: What was published.
        self.payload: bytes = message.payload
        #: How hard the broker tried.
        self.qos: Qos = _NUMBER_OF_QOS[message.qos]
        #: Whether it was published before the subscription, and kept by the broker.
        self.is_retained: bool = message.is_retained
        #: Whether it may have been handed out before. Never so for a message that certainly was not.
        self.is_duplicate: bool = message.is_duplicate
        #: How much longer it makes sense, seconds, if it ends.
        self.expiry: int | None = message.expiry_secs
        #: What the payload is, in the publisher's words.
        self.content_type: str | None = message.content_type
        #: Where an answer should be published.
        self.response_topic: str | None = message.response_topic
        #: What an answer has to carry, so that the asker knows it.
        self.correlation_data: bytes | None = message.correlation_data
        #: Pairs of name and value, in the publisher's order.
        self.user_properties: list[tuple[str, str]] = [(it.name, it.value) for it in message.user_properties]

    def text(self) -> str:
        """The payload as text. Raises UnicodeDecodeError when it is none."""
        return self.payload.decode()

    def json(self) -> Any:
        """The payload, which is JSON. Raises ValueError when it is not."""
        return json.loads(self.payload)

    def __repr__(self) -> str:
        # Neither topic nor payload: both may be nobody's business.
        return f"<Message of {len(self.payload)} bytes at QoS {self.qos}>"


@dataclass(frozen=True)
class Outcome:
    """What became of a published message.

    - sent: QoS 0, it was given to the connection, which is all that is promised
    - acknowledged: the broker has it; reason 0x10 says that nobody had subscribed
    - rejected: the broker has refused it
    - expired: its lifetime was over before it could be sent
    - indeterminate: a QoS 2 message was on its way when the broker lost the session. It may have arrived
    """

    kind: Literal["sent", "acknowledged", "rejected", "expired", "indeterminate"]
    #: The broker's reason code, MQTT 5, where it has given one.
    reason: int | None = None


_SENT = Outcome("sent")
_WITHOUT_REASON = {
    native.PublishOutcome.SENT: _SENT,
    native.PublishOutcome.EXPIRED: Outcome("expired"),
    native.PublishOutcome.INDETERMINATE: Outcome("indeterminate"),
}
_ACKNOWLEDGED = Outcome("acknowledged", 0)


class Sending:
    """A message on its way. Await it for its outcome; letting go of it takes nothing back."""

    __slots__ = ("_outcome", "_stored")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._outcome: asyncio.Future[Outcome] = loop.create_future()
        self._stored: asyncio.Future[None] | None = None

    def __await__(self) -> Generator[Any, None, Outcome]:
        """Raises what has kept the client from taking it."""
        # Whoever stops waiting changes nothing for others who wait.
        return asyncio.shield(self._outcome).__await__()

    async def stored(self) -> None:
        """Waits until the message survives the end of the process: it is in a store that does, or with the broker."""
        if self._outcome.done():
            self._outcome.result()
            return
        if self._stored is None:
            self._stored = self._outcome.get_loop().create_future()
        await asyncio.shield(self._stored)

    def _tell_stored(self) -> None:
        if self._stored is None:
            self._stored = self._outcome.get_loop().create_future()
        if not self._stored.done():
            self._stored.set_result(None)

    def _tell(self, outcome: native.PublishOutcome) -> None:
        if isinstance(outcome, native.PublishOutcome.FAILED):
            self._fail(errors.of_problem(outcome.problem))
            return
        told = _WITHOUT_REASON.get(type(outcome))
        if told is None:
            if isinstance(outcome, native.PublishOutcome.REJECTED):
                told = Outcome("rejected", outcome.reason)
            else:
                told = Outcome("acknowledged", outcome.reason) if outcome.reason else _ACKNOWLEDGED
        self._outcome.set_result(told)
        if self._stored is not None and not self._stored.done():
            self._stored.set_result(None)

    def _fail(self, error: Exception) -> None:
        for future in (self._outcome, self._stored):
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # Nobody has to ask.
