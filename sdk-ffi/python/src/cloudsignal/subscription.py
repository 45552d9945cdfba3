"""A stream of messages."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from . import _native as native
from . import errors
from .messages import Message
from .options import Qos, QOS

if TYPE_CHECKING:
    from .inbox import Inbox


class Subscription:
    """Messages of one filter: `async with client.subscribe(…) as messages`, `async for message in messages`.

    A message counts as dealt with when the next one is asked for, or when `done` says so. The end of `async with`
    unsubscribes. To stop waiting for a message, as by a timeout, ends nothing.
    """

    def __init__(self, inbox: Inbox, options: native.SubscribeOptions) -> None:
        self._inbox = inbox
        self._options = options
        self._id: int | None = None
        # At most as many as the library hands over ahead.
        self._messages: deque[native.Message] = deque()
        self._current: int | None = None
        self._reader: asyncio.Future[None] | None = None
        self._granted: asyncio.Future[Qos] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._problem: Exception | None = None
        #: How many QoS 0 messages were dropped because they were not taken in time.
        self.dropped = 0

    @property
    def filter(self) -> str:
        """Its filter."""
        return self._options.filter

    async def __aenter__(self) -> Subscription:
        """Subscribes, and waits for the broker's word; raises RefusedError when that is no."""
        self.begin()
        try:
            await self.granted()
        except BaseException:
            self.leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def begin(self) -> Subscription:
        """Subscribes without waiting for the broker: what matches comes as soon as there is a connection."""
        if self._id is None:
            loop = asyncio.get_running_loop()
            self._granted, self._ended = loop.create_future(), loop.create_future()
            self._id = self._inbox.subscribe(self, self._options)
        return self

    async def granted(self) -> Qos:
        """Waits for the broker's word: the highest QoS of the messages."""
        assert self._granted is not None, "begin first"
        return await asyncio.shield(self._granted)

    def leave(self) -> None:
        """Unsubscribes, and does not wait for the broker."""
        if self._id is not None and not self._over():
            self._inbox.unsubscribe(self._id)

    async def unsubscribe(self) -> None:
        """Unsubscribes, and waits until the broker has heard, which takes a connection."""
        self.leave()
        if self._ended is not None:
            await asyncio.shield(self._ended)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message:
        """The next message. Raises why there will be none any more, unless the application has ended it."""
        assert self._id is not None, "begin first"
        self.done()
        while not self._messages:
            if self._problem is not None:
                raise self._problem
            if self._over():
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        message = self._messages.popleft()
        self._current = message.id
        return Message(message)

    def done(self) -> None:
        """The message that was taken last is dealt with: now, and not when the next one is asked for."""
        if self._current is not None:
            self._inbox.done(self._current)
            self._current = None

    def _over(self) -> bool:
        return self._ended is not None and self._ended.done()

    def _arrive(self, message: native.Message) -> None:
        self._messages.append(message)
        self._wake()

    def _grant(self, qos: native.QosLevel) -> None:
        assert self._granted is not None
        if not self._granted.done():
            self._granted.set_result(QOS.index(qos))

    def _end(self, problem: Exception | None) -> None:
        assert self._granted is not None and self._ended is not None
        self._problem = problem
        if not self._granted.done():
            self._granted.set_exception(problem or errors.ClosedError("the subscription was ended"))
            self._granted.exception()  # Nobody has to ask.
        if not self._ended.done():
            self._ended.set_result(None)
        if problem is None:
            self._messages.clear()
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
