"""What a user of the Python package does, each with a client of its own."""

import asyncio
import subprocess
import sys
import tempfile
import threading
import time

import cloudsignal
from cloudsignal import Certificate, Client, RefusedError, Session, Token, TokenRefused, UsageError
from world import take

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


@scenario
async def messages_of_every_qos_come_in_order(world):
    async with world.client() as client:
        async with client.subscribe(world.topic("#"), qos=2) as messages:
            for qos, kind in ((0, "sent"), (1, "acknowledged"), (2, "acknowledged")):
                outcome = await client.publish(world.topic(str(qos)), f"message {qos}", qos=qos)
                assert outcome.kind == kind, outcome
            got = await take(messages, 3)
        assert [(it.qos, it.text()) for it in got] == [(qos, f"message {qos}") for qos in range(3)], got


@scenario
async def properties_arrive_as_they_were_sent(world):
    async with world.client() as client, client.subscribe(world.topic()) as messages:
        properties = dict(
            expiry=60,
            content_type="text/plain",
            response_topic=world.topic("answers"),
            correlation_data=b"\x00\xff",
            user_properties=[("name", "one"), ("name", "two")],
        )
        await client.publish(world.topic(), b"\x00binary", **properties)
        (message,) = await take(messages, 1)
        assert message.payload == b"\x00binary"
        assert {name: getattr(message, name) for name in properties} == properties


@scenario
async def retained_messages_wait_for_subscribers_until_they_are_cleared(world):
    async with world.client() as client:
        await client.publish(world.topic(), "kept", retain=True)
        async with client.subscribe(world.topic()) as messages:
            (message,) = await take(messages, 1)
            assert message.is_retained and message.text() == "kept"
        await client.publish(world.topic(), "", retain=True)
        async with client.subscribe(world.topic()) as messages:
            await client.publish(world.topic(), "new")
            (message,) = await take(messages, 1)
            assert not message.is_retained and message.text() == "new"


@scenario
async def a_will_is_published_for_whoever_is_gone_without_a_goodbye(world):
    script = (
        "import asyncio, os, sys\n"
        "from cloudsignal import Client, Will\n"
        "async def main():\n"
        "    url, ca, username, password, topic = sys.argv[1:]\n"
        "    will = Will(topic, 'gone', qos=1)\n"
        "    async with Client(url, ca=ca, username=username, password=password, session_expiry=0, will=will):\n"
        "        os._exit(7)\n"
        "asyncio.run(main())\n"
    )
    job = world.job
    async with world.client() as client, client.subscribe(world.topic()) as messages:
        arguments = [job["url"], job["ca_file"], job["username"], job["password"], world.topic()]
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, *arguments)
        assert await process.wait() == 7
        (message,) = await take(messages, 1)
        assert message.text() == "gone"


@scenario
async def cancelling_a_reader_unsubscribes_at_the_broker(world):
    async with world.client("py-cancelled") as client:
        await client.publish(world.topic("a"), "kept", retain=True)
        heard = asyncio.Event()

        async def read():
            async for _ in client.messages(world.topic("#")):
                heard.set()

        reader = asyncio.create_task(read())
        await heard.wait()
        assert await world.filters("py-cancelled") == [world.topic("#")]
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)

        async def is_gone():
            return await world.filters("py-cancelled") == []

        await world.until("the end of the subscription", is_gone)


@scenario
async def leaving_a_loop_and_ending_a_scope_unsubscribe_too(world):
    async with world.client("py-left") as client:
        await client.publish(world.topic(), "kept", retain=True)
        async for message in client.messages(world.topic()):
            assert message.text() == "kept"
            break
        async with client.subscribe(world.topic("scope")) as subscription:
            assert world.topic("scope") in await world.filters("py-left")
        await subscription.unsubscribe()

        async def is_gone():
            return await world.filters("py-left") == []

        await world.until("the end of both subscriptions", is_gone)


@scenario
async def a_timeout_ends_the_waiting_and_not_the_subscription(world):
    async with world.client() as client, client.subscribe(world.topic()) as messages:
        try:
            await asyncio.wait_for(anext(messages), 0.01)
            raise AssertionError("there is nothing to take")
        except asyncio.TimeoutError:
            pass
        await client.publish(world.topic(), "later")
        (message,) = await take(messages, 1)
        assert message.text() == "later"


@scenario
async def a_slow_reader_slows_the_broker_and_loses_nothing(world):
    count = 300
    async with world.client(receive_max=8) as client, world.client("py-feeder") as feeder:
        async with client.subscribe(world.topic(), ahead=4) as messages:
            for number in range(count):
                await feeder.send(world.topic(), str(number))
            await feeder.flush()
            first = await anext(messages)
            # Nothing more is acknowledged: what the broker may send ahead is what it was told.
            session = await world.ask_api("GET", "/v2/sessions/py-" + world.name)
            assert session["in_flight"] <= 8, session
            got = [first, *await take(messages, count - 1)]
        assert [int(it.text()) for it in got] == list(range(count))


@scenario
async def questions_are_answered_or_say_why_not(world):
    async with world.client() as asker, world.client("py-answerer") as answerer:

        async def answer():
            async for question in answerer.messages(world.topic("upper")):
                await answerer.answer(question, question.text().upper())

        answering = asyncio.create_task(answer())

        async def is_there():
            return await world.filters("py-answerer") != []

        await world.until("somebody who answers", is_there)
        reply = await asker.ask(world.topic("upper"), "loud")
        assert reply.text() == "LOUD"
        try:
            await asker.ask(world.topic("nobody"), "?")
            raise AssertionError("nobody listens there")
        except RefusedError as error:
            assert error.reason == 0x10, error.reason
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


@scenario
async def what_is_published_while_suspended_goes_out_afterwards(world):
    async with world.client() as client, world.client("py-hearer") as hearer:
        async with hearer.subscribe(world.topic()) as messages:
            client.suspend()
            events = client.events()
            while client.state.kind != "suspended":
                await anext(events)
            sendings = [await client.send(world.topic(), str(number)) for number in range(3)]
            client.resume()
            outcomes = [(await sending).kind for sending in sendings]
            assert outcomes == ["acknowledged"] * 3, outcomes
            assert [it.text() for it in await take(messages, 3)] == ["0", "1", "2"]
            while not isinstance(event := await anext(events), Session):
                pass
            assert event.continuity == "resumed", event


@scenario
async def a_store_keeps_identity_and_subscriptions_for_the_next_client(world):
    with tempfile.TemporaryDirectory() as folder:
        options = dict(username=world.job["username"], password=world.job["password"], ca=world.job["ca_file"])
        client = Client(world.job["url"], store=folder, **options)
        await client.open()
        subscription = client.subscribe(world.topic()).begin()
        await subscription.granted()
        name = client.client_id
        await client.close()
        async with world.client("py-other") as other:
            await other.publish(world.topic(), "in between")
        async with Client(world.job["url"], store=folder, **options) as client:
            assert client.client_id == name
            async with client.subscribe(world.topic()) as messages:
                (message,) = await take(messages, 1)
                assert message.text() == "in between"


@scenario
async def without_a_store_the_next_process_gets_what_the_last_one_had_not_dealt_with(world):
    script = (
        "import asyncio, os, sys\n"
        "from cloudsignal import Client\n"
        "async def main():\n"
        "    url, ca, username, password, topic = sys.argv[1:]\n"
        "    client = await Client(url, ca=ca, username=username, password=password, client_id='py-heir').open()\n"
        "    async with client.subscribe(topic, qos=2) as messages:\n"
        "        print('ready', flush=True)\n"
        "        for _ in range(5):\n"
        "            await anext(messages)\n"
        "        os._exit(7)\n"
        "asyncio.run(main())\n"
    )
    job = world.job
    arguments = [job["url"], job["ca_file"], job["username"], job["password"], world.topic()]
    heir = await asyncio.create_subprocess_exec(sys.executable, "-c", script, *arguments, stdout=subprocess.PIPE)
    assert await heir.stdout.readline() == b"ready\n"
    async with world.client() as sender:
        for number in range(10):
            await sender.publish(world.topic(), str(number), qos=1 + number % 2)
        assert await heir.wait() == 7
        async with world.client("py-heir", receive_max=8) as client:
            assert client.client_id == "py-heir"
            # By the answer everything that was on its way has come again, before anybody wants it.
            await client.publish(world.topic("elsewhere"), "", qos=2)
            await sender.publish(world.topic(), "10")
            async with client.subscribe(world.topic(), qos=2) as messages:
                got = [int(it.text()) for it in await take(messages, 7)]
    # Whether the broker has heard of the last that the first process took is up to how it ended.
    assert got == list(range(got[0], got[0] + 7)) and got[0] <= 4, got


@scenario
async def a_store_in_python_does_as_well(world):
    class Shelf:
        def __init__(self):
            self.records = {}

        def load(self):
            return list(self.records.items())

        def apply(self, changes):
            for key, value in changes:
                if value is None:
                    self.records.pop(key, None)
                else:
                    self.records[key] = value

    shelf = Shelf()
    client = world.client("py-shelf", store=shelf, url="mqtts://127.0.0.1:1")
    await client.open()
    await (await client.send(world.topic(), "kept")).stored()
    await client.close()
    assert shelf.records
    async with world.client() as hearer, hearer.subscribe(world.topic()) as messages:
        async with world.client("py-shelf", store=shelf):
            (message,) = await take(messages, 1)
            assert message.text() == "kept"


@scenario
async def a_token_is_renewed_before_it_ends_and_the_connection_stays(world):
    asked, is_enough = [], asyncio.Event()

    async def provider(reason):
        asked.append(reason)
        if len(asked) == 3:
            is_enough.set()
        made = await world.ask_api("POST", "/v2/tokens/create", {"user_email": "ada@example.com"})
        # The broker's token lives longer than this client is told, which therefore renews it soon.
        return Token(made["access_token"], lifetime=3.0)

    async with world.client(token=provider) as client:
        events = client.events()
        await is_enough.wait()
        assert asked == ["initial", "expiring", "expiring"], asked
        outcome = await client.publish(world.topic(), "still here")
        assert outcome.kind == "acknowledged"
        assert client.state.kind == "connected"
        await client.close()
        seen = [event async for event in events]
        assert not any(isinstance(event, Session) for event in seen), seen


@scenario
async def who_is_refused_hears_why(world):
    try:
        async with world.client(password="wrong"):
            raise AssertionError("a wrong password is accepted")
    except RefusedError as error:
        assert error.reason in (0x86, 0x87), error.reason

    async def provider(_reason):
        raise TokenRefused

    try:
        async with world.client(token=provider):
            raise AssertionError("there is no token")
    except RefusedError:
        pass
    async with world.client() as client:
        outcome = await client.publish("forbidden", "")
        assert (outcome.kind, outcome.reason) == ("rejected", 0x87), outcome
        try:
            async with client.subscribe("forbidden/#"):
                raise AssertionError("a forbidden filter is granted")
        except RefusedError as error:
            assert error.reason == 0x87, error.reason


@scenario
async def what_makes_no_sense_is_a_usage_error(world):
    for url in ("http://localhost", "localhost", "mqtt://me:secret@localhost"):
        try:
            await Client(url).open()
            raise AssertionError(f"{url} is accepted")
        except UsageError:
            pass
    async with world.client() as client:
        for call in (client.publish("a/+", ""), client.ask("#", "")):
            try:
                await call
                raise AssertionError("a wildcard is no topic")
            except UsageError:
                pass


@scenario
async def what_is_printed_tells_no_secret(world):
    secret = "s3cret"
    token, certificate = Token(secret), Certificate("chain", secret)
    client = world.client(password=secret, certificate=certificate)
    told = [client, client._options, certificate, certificate._to_native(), token, token._to_native()]
    for it in told:
        assert secret not in f"{it} {it!r}", type(it)


@scenario
async def the_connection_is_checked(world):
    """Nothing but the pinned authority, or the system's, makes a broker trusted."""
    client = Client(world.job["url"], username="x", password="x", reconnect_max=0.05)
    await client.open()
    events = client.events()
    event = await anext(events)
    while not isinstance(event, cloudsignal.Unreachable):
        event = await anext(events)
    assert "certificate" in event.detail.lower(), event
    await client.close()
    try:
        await world.client(certificate=Certificate("nothing", "nothing")).open()
        raise AssertionError("this is no certificate")
    except UsageError:
        pass


@scenario
async def two_hundred_clients_come_and_go_and_leave_nothing(world):
    async with world.client():
        pass  # What is made once, is made now.
    before = threads()
    began = time.monotonic()
    for number in range(200):
        async with world.client(session_expiry=0) as client:
            if number % 4 == 0:
                await client.send(world.topic(), str(number), qos=0)
    took = time.monotonic() - began
    assert threads() == before, (threads(), before)
    world.note = f"200 connections over TLS, opened and closed, {took / 200 * 1_000:.1f} ms each"


def threads():
    """How many threads the process has, whoever has made them; Python's own are known by name."""
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("Threads:")]
    return int(line.split()[1]), threading.active_count()


@scenario
async def a_process_that_closes_nothing_ends_well(world):
    script = (
        "import asyncio, sys\n"
        "from cloudsignal import Client\n"
        "url, ca, username, password, topic = sys.argv[1:]\n"
        "async def main():\n"
        "    client = Client(url, ca=ca, username=username, password=password)\n"
        "    await client.open()\n"
        "    await client.connected()\n"
        "    client.subscribe(topic).begin()\n"
        "    return client\n"
        "left = asyncio.run(main())\n"
    )
    job = world.job
    arguments = [sys.executable, "-c", script, job["url"], job["ca_file"], job["username"], job["password"], world.topic()]
    run = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, ""), run


@scenario
async def what_a_message_costs(world):
    """Microseconds of this process for one message, of its own and of the library's threads; printed, not judged."""
    count = 5_000
    async with world.client(queue_messages_max=100_000) as client:
        await client.publish(world.topic(), "")
        costs = []
        for qos in (0, 1):
            began = time.process_time()
            sendings = [await client.send(world.topic(), b"x" * 64, qos=qos) for _ in range(count)]
            await client.flush()
            for sending in sendings:
                await sending
            costs.append(f"publish QoS {qos} {(time.process_time() - began) / count * 1e6:.0f}")
    async with world.client() as client, world.client("py-feeder") as feeder:
        async with client.subscribe(world.topic()) as messages:
            client.suspend()
            for _ in range(count):
                await feeder.send(world.topic(), b"x" * 64)
            await feeder.flush()
            # They wait at the broker: what follows is receiving alone.
            began = time.process_time()
            client.resume()
            await take(messages, count)
            costs.append(f"receive QoS 1 {(time.process_time() - began) / count * 1e6:.0f}")
    world.note = "µs of CPU per message: " + ", ".join(costs)
