"""What can go wrong, sorted by who is to blame."""

from __future__ import annotations

from . import _native as native


class CloudSignalError(Exception):
    """Every error of this package."""

    def __init__(self, detail: str, reason: int | None = None) -> None:
        super().__init__(detail)
        #: The broker's reason code, MQTT 5, where it has given one.
        self.reason = reason


class UsageError(CloudSignalError, ValueError):
    """What was asked makes no sense, and never will."""


class LimitError(CloudSignalError):
    """As many as there may be are there already. Later there is room again."""


class ClosedError(CloudSignalError):
    """The client is closed."""


class RefusedError(CloudSignalError):
    """The broker, or whoever answers, has refused it."""


class NetworkError(CloudSignalError):
    """The network, or somebody who did not answer in time."""


class StorageError(CloudSignalError, OSError):
    """The store."""

    def __init__(self, detail: str, reason: int | None = None) -> None:
        super().__init__(detail, reason)


_BY_BLAME = {
    native.Blame.USAGE: UsageError,
    native.Blame.LIMIT: LimitError,
    native.Blame.CLOSED: ClosedError,
    native.Blame.REFUSED: RefusedError,
    native.Blame.NETWORK: NetworkError,
    native.Blame.STORAGE: StorageError,
}


def of_problem(problem: native.Problem) -> CloudSignalError:
    """The error for what an event has told."""
    return _BY_BLAME[problem.blame](problem.detail, problem.reason)


def of_call(error: native.ClientError) -> CloudSignalError:
    """The error for what a call has thrown."""
    if isinstance(error, native.ClientError.Usage):
        return UsageError(error.detail)
    if isinstance(error, native.ClientError.Limit):
        return LimitError(error.detail)
    if isinstance(error, native.ClientError.Storage):
        return StorageError(error.detail)
    return ClosedError(error.detail)


def of_ending(ending: native.Ending) -> CloudSignalError:
    """The error for everybody who still waits when the client has ended."""
    if ending.why in (native.CloseReason.REFUSED, native.CloseReason.TOKEN_REFUSED):
        return RefusedError(ending.problem.detail, ending.problem.reason)
    return ClosedError(ending.problem.detail, ending.problem.reason)
