"""A client of an MQTT broker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Literal

from . import _native as native
from . import errors
from .inbox import Inbox, TokenProvider
from .messages import Message, Outcome, Sending
from .options import QOS, Certificate, ForeignStore, Qos, RecordStore, Will, payload_bytes, secret
from .state import Event, State
from .subscription import Subscription

Payload = "str | bytes | bytearray | memoryview"

_VERSIONS = {"5": native.ProtocolVersion.V5, "3.1.1": native.ProtocolVersion.V311}

_RETAIN_HANDLING = {
    "all": native.RetainHandling.SEND_AT_SUBSCRIBE,
    "new": native.RetainHandling.SEND_IF_NEW,
    "none": native.RetainHandling.DO_NOT_SEND,
}


class Client:
    """A client of an MQTT broker, which keeps its connection until it is closed. `async with` opens it, waits until the
    broker has accepted it, and closes it. It belongs to the event loop that has opened it.

    The defaults lose nothing: the session outlives a connection for a day, what is published offline waits, and a lost
    connection is made again.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | bytes | None = None,
        token: TokenProvider | None = None,
        client_id: str | None = None,
        ca: str | bytes | os.PathLike[str] | None = None,
        certificate: Certificate | None = None,
        store: str | os.PathLike[str] | RecordStore | None = None,
        protocol: Literal["5", "3.1.1"] | None = None,
        will: Will | None = None,
        session_expiry: int | None = None,
        keep_alive: int | None = None,
        receive_max: int | None = None,
        inflight_max: int | None = None,
        queue_messages_max: int | None = None,
        queue_bytes_max: int | None = None,
        packet_bytes_max: int | None = None,
        reconnect_first: float | None = None,
        reconnect_max: float | None = None,
    ) -> None:
        """
        :param url: `mqtts://host:port`, `wss://host:port/path`, `mqtt://host`, or `ws://host`.
        :param token: asked for a token where there is no password; renewed before it ends. Raise `TokenRefused` to give up.
        :param client_id: default: a random one, which the store keeps.
        :param ca: whom to trust instead of whom the system trusts: PEM, or the path of a file with it.
        :param certificate: by which the broker knows the client.
        :param store: a folder, or something that keeps records: what survives the process. Default: nothing.
        :param protocol: this version of MQTT only. Default: 5, and 3.1.1 with a broker that refuses it.
        :param session_expiry: how long the session outlives a connection, seconds; 0 ends it with it. Default: 86 400.
        :param keep_alive: something is sent at least this often, seconds; 0 switches it off. Default: 30.
        :param receive_max: how many received QoS 1 and 2 messages may be unacknowledged at once. Default: 256.
        :param inflight_max: how many published QoS 1 and 2 messages may be unanswered at once. Default: 256.
        :param queue_messages_max: how many published messages may wait. Default: 10 000.
        :param queue_bytes_max: how many bytes they may have together. Default: 16 MiB.
        :param packet_bytes_max: largest packet that is accepted, bytes. Default: 16 MiB.
        :param reconnect_first: the first pause after a lost connection is at most so long, seconds. Default: 0.5.
        :param reconnect_max: no pause is longer, seconds. Default: 30.
        """
        login = None
        if token is not None:
            login = native.Login.TOKENS()
        elif username is not None:
            login = native.Login.PASSWORD(username=username, password=secret(password or b""))
        self._provider = token
        self._store = store
        self._ca = ca
        self._options = dict(
            url=url,
            login=login,
            client_id=client_id,
            certificate=None if certificate is None else certificate._to_native(),
            protocol_version=None if protocol is None else _VERSIONS[protocol],
            will=None if will is None else will._to_native(),
            session_expiry_secs=session_expiry,
            keep_alive_secs=keep_alive,
            receive_max=receive_max,
            inflight_max=inflight_max,
            queue_messages_max=queue_messages_max,
            queue_bytes_max=queue_bytes_max,
            packet_bytes_max=packet_bytes_max,
            reconnect_first_ms=_millis(reconnect_first),
            reconnect_max_ms=_millis(reconnect_max),
        )
        self._inbox: Inbox | None = None

    # Opening and closing.

    async def open(self) -> Client:
        """Begins to connect, and does not wait for the broker: the client can be used at once.

        Raises UsageError or StorageError when something that was said makes no sense, or the store cannot be read.
        """
        if self._inbox is not None:
            raise errors.UsageError("a client is opened once")
        options, store = dict(self._options), None
        if self._ca is not None:
            options["ca_pem"] = _pem(self._ca)
        if isinstance(self._store, (str, os.PathLike)):
            options["store_folder"] = os.fspath(self._store)
        elif self._store is not None:
            store = ForeignStore(self._store)
        self._inbox = Inbox(self._provider)
        await self._inbox.open(native.ClientOptions(**options), store)
        return self

    async def connected(self) -> None:
        """Waits until the broker has accepted the client; as long as that takes, unless it is refused: RefusedError."""
        await self._there().connected()

    async def close(self, *, forget: bool = False) -> None:
        """Says goodbye, and waits until that is out and the store has everything; after it nothing of the client is left.
        The broker keeps the session; what still waits to be sent stays in the store, or is lost if there is none: `flush`
        before. With `forget`, broker and store forget everything."""
        inbox = self._inbox
        if inbox is None or inbox.native is None:
            return
        if forget:
            inbox.native.finish_and_forget()
        else:
            inbox.native.finish()
        cancelled = None
        while not inbox.closed.done():
            try:
                await asyncio.shield(inbox.closed)
            except asyncio.CancelledError as error:
                cancelled = error  # The library is calling still: it has to end first, and does so soon.
        if cancelled is not None:
            raise cancelled

    async def __aenter__(self) -> Client:
        await self.open()
        try:
            await self.connected()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Messages.

    async def publish(self, topic: str, payload: Payload, **options) -> Outcome:
        """Publishes a message, now or as soon as there is a connection, and waits for its outcome. Takes what `send` takes."""
        return await (await self.send(topic, payload, **options))

    async def send(
        self,
        topic: str,
        payload: Payload,
        *,
        qos: Qos = 1,
        retain: bool = False,
        expiry: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        user_properties: Iterable[tuple[str, str]] = (),
    ) -> Sending:
        """Puts a message on its way, and waits only while there is no room in the queue; the answer can be awaited for its
        outcome. Messages of one task leave in their order.

        :param retain: the broker keeps it for later subscribers; with an empty payload it forgets.
        :param expiry: how long it makes sense, seconds. It is given up when it could not be sent until then.
        :param user_properties: pairs of name and value.
        """
        publication = _publication(
            topic, payload, qos, retain, expiry, content_type, response_topic, correlation_data, user_properties
        )
        return await self._there().send(publication)

    async def flush(self) -> None:
        """Waits until everything that was published before is answered, and what was published at QoS 0 is written."""
        await self._there().flush()

    def subscribe(
        self,
        filter: str,
        *,
        qos: Qos = 1,
        no_local: bool = False,
        retain_as_published: bool = False,
        retained: Literal["all", "new", "none"] = "all",
        buffer: int | None = None,
        ahead: int | None = None,
    ) -> Subscription:
        """A stream of messages: `async with client.subscribe(…) as messages`.

        :param qos: the highest QoS of the messages.
        :param no_local: not what this client publishes itself.
        :param retain_as_published: keeps the retain flag as it was published.
        :param retained: which retained messages come first: all, only those of a new subscription, or none.
        :param buffer: how many QoS 0 messages may wait until they are taken; then the oldest is dropped. Default: 4 096.
        :param ahead: how many messages are here before the first of them is dealt with. Default: 256.
        """
        options = native.SubscribeOptions(
            filter=filter,
            qos=QOS[qos],
            no_local=no_local,
            retain_as_published=retain_as_published,
            retain_handling=_RETAIN_HANDLING[retained],
            buffer_messages_max=buffer,
            ahead_messages_max=ahead,
        )
        return Subscription(self._there(), options)

    async def messages(self, filter: str, **options) -> AsyncGenerator[Message, None]:
        """Subscribes, and gives the messages: `async for message in client.messages(…)`. Leaving the loop, or being
        cancelled in it, unsubscribes. Takes what `subscribe` takes."""
        async with self.subscribe(filter, **options) as subscription:
            async for message in subscription:
                yield message

    async def ask(
        self,
        topic: str,
        payload: Payload,
        *,
        timeout: float = 10.0,
        content_type: str | None = None,
        user_properties: Iterable[tuple[str, str]] = (),
    ) -> Message:
        """Asks whoever listens to the topic, and waits for the answer, `timeout` seconds at most: NetworkError. Where nobody
        listens it fails at once: RefusedError. MQTT 5 only."""
        publication = _publication(topic, payload, 1, False, None, content_type, None, None, user_properties)
        return await self._there().ask(publication, timeout)

    async def answer(self, question: Message, payload: Payload, **options) -> Outcome:
        """Answers a question that has arrived. Takes what `send` takes."""
        if question.response_topic is None:
            raise errors.UsageError("the message asks for no answer")
        return await self.publish(
            question.response_topic, payload, correlation_data=question.correlation_data, **options
        )

    # The connection.

    @property
    def client_id(self) -> str:
        """Its client identifier."""
        return self._there().open_client().client_id()

    @property
    def state(self) -> State:
        """What it is doing."""
        return self._there().state

    def events(self) -> AsyncGenerator[Event, None]:
        """States, sessions with their continuity, and warnings, from now on. Of those that nobody takes, the newest 64 are
        kept. Ends when the client is closed."""
        return self._there().events()

    def suspend(self) -> None:
        """Disconnects until `resume`; session, subscriptions and queue stay."""
        self._wish(native.NativeClient.suspend)

    def resume(self) -> None:
        """Connects again after `suspend`, or at once while it waits for the next attempt."""
        self._wish(native.NativeClient.resume)

    def wake(self) -> None:
        """The device has noticed something, as after sleep: what looked like a connection may be dead."""
        self._wish(native.NativeClient.wake)

    async def give_up(self, message: int) -> bool:
        """Lets go of a message that a warning has called stuck, so that what waits behind it goes on: it is indeterminate
        then. One that is on its way just now stays, and so does one of QoS 2: False."""
        return await self._there().give_up(message)

    def _wish(self, wish) -> None:
        try:
            wish(self._there().open_client())
        except native.ClientError as error:
            raise errors.of_call(error) from None

    def _there(self) -> Inbox:
        if self._inbox is None:
            raise errors.ClosedError("the client is not open")
        return self._inbox


def _publication(
    topic, payload, qos, retain, expiry, content_type, response_topic, correlation_data, user_properties
) -> native.Publication:
    return native.Publication(
        topic=topic,
        payload=payload_bytes(payload),
        qos=QOS[qos],
        retain=retain,
        expiry_secs=expiry,
        content_type=content_type,
        response_topic=response_topic,
        correlation_data=correlation_data,
        user_properties=[native.UserProperty(name=name, value=value) for name, value in user_properties],
    )


def _millis(secs: float | None) -> int | None:
    return None if secs is None else max(0, round(secs * 1_000))


def _pem(ca: str | bytes | os.PathLike[str]) -> bytes:
    if isinstance(ca, bytes):
        return ca
    if isinstance(ca, str) and "-----BEGIN" in ca:
        return ca.encode()
    return Path(ca).read_bytes()
