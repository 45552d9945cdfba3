"""What the library tells, brought to the event loop, and everybody who waits for it.

The library calls on a thread of its own. There the events are put into the loop's queue and nothing else; everything
below happens on the loop.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable

from . import _native as native
from . import errors
from .messages import Message, Sending
from .options import Token, TokenReason, TokenRefused
from .state import Event, Session, State, Unreachable, Warned, of_state, of_warning
from .subscription import Subscription

log = logging.getLogger("cloudsignal")

TokenProvider = Callable[[TokenReason], Awaitable["Token | str | bytes"]]

#: How many events wait for somebody who does not read them; then the oldest is forgotten.
EVENTS_MAX = 64

#: How long the end of the process waits for a client that nobody has closed, seconds.
EXIT_PATIENCE = 5.0

_open: weakref.WeakSet[Inbox] = weakref.WeakSet()


class _Ear(native.Listener):
    """Called by the library."""

    def __init__(self, loop: asyncio.AbstractEventLoop, inbox: Inbox) -> None:
        self._loop, self._inbox = loop, inbox

    def on_events(self, events: list[native.Event]) -> None:
        self._tell(self._inbox.take, events)

    def on_closed(self, ending: native.Ending) -> None:
        self._inbox.ended.set()
        self._tell(self._inbox.close, ending)

    def _tell(self, what: Callable[..., None], argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(what, argument)
        except RuntimeError:
            pass  # The loop is closed: nobody waits any more.


class Inbox:
    """Everybody who waits for something of one client."""

    def __init__(self, provider: TokenProvider | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.provider = provider
        self.native: native.NativeClient | None = None
        self.state = State("connecting")
        #: For the end of the process, which has no loop.
        self.ended = threading.Event()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.problem: errors.CloudSignalError | None = None
        self._connected: asyncio.Future[None] = self.loop.create_future()
        self._sendings: dict[int, Sending] = {}
        self._futures: dict[int, asyncio.Future] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._readers: list[deque[Event]] = []
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._done: list[int] = []
        self._asked: set[asyncio.Task[None]] = set()

    async def open(self, options: native.ClientOptions, store: native.RecordStore | None) -> None:
        """Makes the client; beside the loop, because files are read."""
        try:
            self.native = await asyncio.to_thread(native.NativeClient.open, options, _Ear(self.loop, self), store)
        except native.ClientError as error:
            raise errors.of_call(error) from None
        _open.add(self)
        self.native.begin()

    # What the application asks for.

    def open_client(self) -> native.NativeClient:
        """The client, if it is there."""
        if self.native is None:
            raise self.problem or errors.ClosedError("the client is not open")
        return self.native

    async def send(self, publication: native.Publication) -> Sending:
        """Puts a message on its way, as soon as there is room."""
        while True:
            sending = self.try_send(publication)
            if sending is not None:
                return sending
            self._room.clear()
            await self._room.wait()

    def try_send(self, publication: native.Publication) -> Sending | None:
        """The same without waiting: None while there is no room."""
        try:
            ticket = self.open_client().publish(publication)
        except native.ClientError.Limit:
            return None
        except native.ClientError as error:
            raise errors.of_call(error) from None
        # Events are taken on this thread, so none of them can have come before this line.
        sending = self._sendings[ticket] = Sending(self.loop)
        return sending

    async def ask(self, publication: native.Publication, timeout: float) -> Message:
        """Asks, and waits for the answer."""
        client = self.open_client()
        try:
            question = client.ask(publication, max(1, round(timeout * 1_000)))
        except native.ClientError as error:
            raise errors.of_call(error) from None
        answer = self._futures[question] = self.loop.create_future()
        try:
            return await answer
        finally:
            if self._futures.pop(question, None) is not None:
                client.give_up_question(question)

    async def flush(self) -> None:
        """Waits until everything that was published before is over."""
        await self._wish(native.NativeClient.flush)

    async def give_up(self, message: int) -> bool:
        """Lets go of a message over which connections end."""
        return await self._wish(native.NativeClient.give_up_message, message)

    async def _wish(self, wish: Callable[..., int], *arguments: object) -> object:
        try:
            ticket = wish(self.open_client(), *arguments)
        except native.ClientError as error:
            raise errors.of_call(error) from None
        over = self._futures[ticket] = self.loop.create_future()
        try:
            return await over
        finally:
            self._futures.pop(ticket, None)

    def subscribe(self, subscription: Subscription, options: native.SubscribeOptions) -> int:
        """Begins a subscription."""
        try:
            number = self.open_client().subscribe(options)
        except native.ClientError as error:
            raise errors.of_call(error) from None
        self._subscriptions[number] = subscription
        return number

    def unsubscribe(self, number: int) -> None:
        """Ends a subscription."""
        if self.native is not None:
            self.native.unsubscribe(number)

    def done(self, message: int) -> None:
        """A message is dealt with. One call for all of one turn of the loop."""
        if not self._done:
            self.loop.call_soon(self._tell_done)
        self._done.append(message)

    def _tell_done(self) -> None:
        messages, self._done = self._done, []
        if self.native is not None:
            self.native.done(messages)

    async def connected(self) -> None:
        """Waits until the broker has accepted the client."""
        while self.state.kind != "connected":
            await asyncio.shield(self._connected)

    async def events(self):
        """Everything that an application should know, from now on."""
        mine: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._readers.append(mine)
        try:
            while True:
                while mine:
                    yield mine.popleft()
                if self.closed.done():
                    return
                await self._more.wait()
        finally:
            self._readers.remove(mine)

    # What the library tells.

    def take(self, events: list[native.Event]) -> None:
        """What has happened, in order."""
        for event in events:
            _HANDLERS[type(event)](self, event)

    def close(self, ending: native.Ending) -> None:
        """The library will not call any more."""
        why = ending.why.name.lower()
        self.problem = errors.of_ending(ending)
        for task in self._asked:
            task.cancel()
        for sending in self._sendings.values():
            sending._fail(self.problem)
        for future in [*self._futures.values(), self._connected]:
            if not future.done():
                future.set_exception(self.problem)
                future.exception()  # Nobody has to ask.
        by_caller = ending.why is native.CloseReason.BY_CALLER
        for subscription in self._subscriptions.values():
            subscription._end(None if by_caller else self.problem)
        for waiting in (self._sendings, self._futures, self._subscriptions):
            waiting.clear()
        client, self.native = self.native, None
        if client is not None:
            client.join()  # Its thread has nothing left to do.
        _open.discard(self)
        self._room.set()
        if not self.closed.done():
            self.closed.set_result(None)
        self._tell(State("closed", why, ending.problem.reason))

    def _tell(self, event: Event) -> None:
        if isinstance(event, State):
            self.state = event
        for reader in self._readers:
            reader.append(event)
        self._more.set()
        self._more.clear()

    def _on_state(self, event: native.Event.STATE_CHANGED) -> None:
        state = of_state(event.state)
        if state.kind == "connected":
            if not self._connected.done():
                self._connected.set_result(None)
        elif self._connected.done():
            self._connected = self.loop.create_future()
        self._tell(state)

    def _on_session(self, event: native.Event.SESSION_OPENED) -> None:
        self._tell(Session(event.continuity.name.lower()))

    def _on_unreachable(self, event: native.Event.UNREACHABLE) -> None:
        log.info("unreachable: %s", event.detail)
        self._tell(Unreachable(event.detail))

    def _on_warning(self, event: native.Event.WARNED) -> None:
        warned = of_warning(event.warning)
        log.warning("%s", warned.what)
        self._tell(warned)

    def _on_token_wanted(self, event: native.Event.TOKEN_WANTED) -> None:
        task = self.loop.create_task(self._answer(event.request, event.reason.name.lower()))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _answer(self, request: int, reason: TokenReason) -> None:
        assert self.provider is not None, "the library asks only where there is one"
        try:
            token = await self.provider(reason)
            answer = (token if isinstance(token, Token) else Token(token))._to_native()
        except TokenRefused:
            failure = native.TokenFailure.REFUSED
        except Exception:
            log.exception("the token provider has failed")
            failure = native.TokenFailure.FAILED
        else:
            if self.native is not None:
                self.native.provide_token(request, answer)
            return
        if self.native is not None:
            self.native.refuse_token(request, failure)

    def _on_granted(self, event: native.Event.SUBSCRIPTION_GRANTED) -> None:
        if (subscription := self._subscriptions.get(event.subscription)) is not None:
            subscription._grant(event.qos)

    def _on_ended(self, event: native.Event.SUBSCRIPTION_ENDED) -> None:
        if (subscription := self._subscriptions.pop(event.subscription, None)) is not None:
            subscription._end(None if event.problem is None else errors.of_problem(event.problem))

    def _on_message(self, event: native.Event.MESSAGE_ARRIVED) -> None:
        # One of a subscription that has ended counts as dealt with already.
        if (subscription := self._subscriptions.get(event.message.subscription)) is not None:
            subscription._arrive(event.message)

    def _on_dropped(self, event: native.Event.MESSAGES_DROPPED) -> None:
        if (subscription := self._subscriptions.get(event.subscription)) is not None:
            subscription.dropped += event.messages
        log.warning("%d messages were not taken in time", event.messages)
        self._tell(Warned("dropped", event.messages))

    def _on_stored(self, event: native.Event.PUBLISH_STORED) -> None:
        if (sending := self._sendings.get(event.ticket)) is not None:
            sending._tell_stored()

    def _on_published(self, event: native.Event.PUBLISH_ENDED) -> None:
        if (sending := self._sendings.pop(event.ticket, None)) is not None:
            sending._tell(event.outcome)
        self._room.set()

    def _settle(self, number: int, result: object) -> None:
        future = self._futures.pop(number, None)
        if future is None or future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _on_flushed(self, event: native.Event.FLUSH_ENDED) -> None:
        self._settle(event.ticket, None)

    def _on_given_up(self, event: native.Event.GIVE_UP_ENDED) -> None:
        self._settle(event.ticket, event.is_given_up)

    def _on_answered(self, event: native.Event.QUESTION_ANSWERED) -> None:
        self._settle(event.question, Message(event.message))

    def _on_unanswered(self, event: native.Event.QUESTION_FAILED) -> None:
        self._settle(event.question, errors.of_problem(event.problem))


_HANDLERS = {
    native.Event.STATE_CHANGED: Inbox._on_state,
    native.Event.SESSION_OPENED: Inbox._on_session,
    native.Event.UNREACHABLE: Inbox._on_unreachable,
    native.Event.WARNED: Inbox._on_warning,
    native.Event.TOKEN_WANTED: Inbox._on_token_wanted,
    native.Event.SUBSCRIPTION_GRANTED: Inbox._on_granted,
    native.Event.SUBSCRIPTION_ENDED: Inbox._on_ended,
    native.Event.MESSAGE_ARRIVED: Inbox._on_message,
    native.Event.MESSAGES_DROPPED: Inbox._on_dropped,
    native.Event.PUBLISH_STORED: Inbox._on_stored,
    native.Event.PUBLISH_ENDED: Inbox._on_published,
    native.Event.FLUSH_ENDED: Inbox._on_flushed,
    native.Event.GIVE_UP_ENDED: Inbox._on_given_up,
    native.Event.QUESTION_ANSWERED: Inbox._on_answered,
    native.Event.QUESTION_FAILED: Inbox._on_unanswered,
}


@atexit.register
def _close_what_is_open() -> None:
    """A call into an interpreter that is gone would end the process badly: nobody is left to call."""
    for inbox in list(_open):
        client = inbox.native
        if client is not None:
            client.finish()
            if inbox.ended.wait(EXIT_PATIENCE):
                client.join()
