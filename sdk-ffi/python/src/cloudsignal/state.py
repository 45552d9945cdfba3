"""What a client is doing, and what an application should know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

from . import _native as native


@dataclass(frozen=True)
class State:
    """What a client is doing."""

    kind: Literal["connecting", "connected", "waiting", "suspended", "closed"]
    #: Why it waits (network, silence, server, nonsense, token) or is closed (by_caller, refused, taken_over,
    #: token_refused, fault).
    why: str | None = None
    #: The broker's reason code, if it was the broker.
    reason: int | None = None
    #: When it waits: how long from now until the next attempt, seconds.
    retry_in: float | None = None


@dataclass(frozen=True)
class Session:
    """The broker has accepted the client; whether anything may have been missed since the last time."""

    continuity: Literal["new", "resumed", "adopted", "lost"]


@dataclass(frozen=True)
class Unreachable:
    """The broker could not be reached; another attempt follows."""

    detail: str


@dataclass(frozen=True)
class Warned:
    """Somebody should know: token_not_renewed, no_renewal_in_band, unclaimed, old_protocol, store_failed, stuck, or
    dropped (QoS 0 messages that were not taken in time)."""

    what: str
    #: How many messages were dropped.
    messages: int = 0
    #: Which message is stuck, for `give_up`.
    stuck: int | None = None


Event = Union[State, Session, Unreachable, Warned]


def of_state(state: native.ConnectionState) -> State:
    """The same in the words of this package."""
    if isinstance(state, native.ConnectionState.WAITING):
        return State("waiting", state.why.name.lower(), state.reason, state.retry_in_ms / 1_000)
    return State(_SIMPLE[type(state)])


_SIMPLE = {
    native.ConnectionState.CONNECTING: "connecting",
    native.ConnectionState.CONNECTED: "connected",
    native.ConnectionState.SUSPENDED: "suspended",
}

_WARNINGS = {
    native.Warning.TOKEN_NOT_RENEWED: "token_not_renewed",
    native.Warning.NO_RENEWAL_IN_BAND: "no_renewal_in_band",
    native.Warning.UNCLAIMED: "unclaimed",
    native.Warning.OLD_PROTOCOL: "old_protocol",
    native.Warning.STORE_FAILED: "store_failed",
    native.Warning.STUCK: "stuck",
}


def of_warning(warning: native.Warning) -> Warned:
    """The same in the words of this package."""
    stuck = warning.message if isinstance(warning, native.Warning.STUCK) else None
    return Warned(_WARNINGS[type(warning)], stuck=stuck)
