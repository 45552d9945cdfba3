"""What paho-mqtt does with the broker. Each function is one scenario; `for_versions` says where it applies."""

import time

from paho.mqtt.subscribeoptions import SubscribeOptions

from client import DEADLINE_SECS, properties

SCENARIOS = []

SUCCESS = 0x00
NO_MATCHING_SUBSCRIBERS = 0x10
NO_SUBSCRIPTION_EXISTED = 0x11
BAD_USER_NAME_OR_PASSWORD = 0x86
NOT_AUTHORIZED = 0x87
SESSION_TAKEN_OVER = 0x8E


def for_versions(*versions):
    def register(scenario):
        SCENARIOS.append((scenario.__name__, versions, scenario))
        return scenario

    return register


ALL = ("3.1", "3.1.1", "5")


def expect(got, wanted):
    assert got == wanted, f"got {got!r}, not {wanted!r}"


@for_versions(*ALL)
def every_qos_both_ways(world):
    publisher = world.peer("publisher")
    for granted in (0, 1, 2):
        topic = world.topic(f"granted{granted}")
        subscriber = world.peer(f"subscriber{granted}")
        assert subscriber.subscribe((topic, granted)) == [granted]
        for qos in (0, 1, 2):
            publisher.publish(topic, f"at {qos}", qos)
            message = subscriber.message()
            got = (message.topic, message.payload.decode(), message.qos, message.retain, message.dup)
            assert got == (topic, f"at {qos}", min(qos, granted), False, False), got
        subscriber.expect_only(publisher, topic)


@for_versions(*ALL)
def order_holds(world):
    topic = world.topic()
    publisher, subscriber = world.peer("publisher"), world.peer("subscriber")
    subscriber.subscribe((topic, 2))
    for qos in (1, 2):
        sent = [f"{qos} {index}" for index in range(400)]
        publisher.publish_all(topic, sent, qos)
        assert subscriber.payloads(len(sent)) == sent


@for_versions(*ALL)
def large_payload_arrives_whole(world):
    topic = world.topic()
    subscriber, publisher = world.peer("subscriber"), world.peer("publisher")
    subscriber.subscribe((topic, 1))
    payload = bytes(index * 7 % 251 for index in range(300_000))
    publisher.publish(topic, payload, 1)
    assert subscriber.message().payload == payload


@for_versions(*ALL)
def wildcards_match(world):
    topic = world.topic()
    publisher, subscriber = world.peer("publisher"), world.peer("subscriber")
    subscriber.subscribe((f"{topic}/+/c", 1), (f"{topic}/deep/#", 1))
    for name in (f"{topic}/a/c", f"{topic}/deep", f"{topic}/deep/b/c"):
        publisher.publish(name, "x", 1)
        assert subscriber.message().topic == name
    publisher.publish(f"{topic}/a/b", "x", 1)
    subscriber.expect_only(publisher, f"{topic}/deep/end")


@for_versions(*ALL)
def unsubscribe_ends_delivery(world):
    topic = world.topic()
    publisher, subscriber = world.peer("publisher"), world.peer("subscriber")
    subscriber.subscribe((f"{topic}/a", 1), (f"{topic}/b", 1))
    subscriber.unsubscribe(f"{topic}/a")
    publisher.publish(f"{topic}/a", "x", 1)
    subscriber.expect_only(publisher, f"{topic}/b")


@for_versions(*ALL)
def retained_is_set_replaced_and_cleared(world):
    topic = world.topic()
    publisher, live = world.peer("publisher"), world.peer("live")
    live.subscribe((topic, 1))
    for payload in ("first", "second"):
        publisher.publish(topic, payload, 1, retain=True)
        message = live.message()
        assert (message.payload.decode(), message.retain) == (payload, False)
    late = world.peer("late")
    late.subscribe((topic, 1))
    message = late.message()
    assert (message.payload.decode(), message.retain) == ("second", True)
    publisher.publish(topic, b"", 1, retain=True)
    assert late.message().payload == b""
    after = world.peer("after")
    after.subscribe((topic, 1))
    after.expect_only(publisher, topic)


@for_versions(*ALL)
def will_follows_a_lost_connection_only(world):
    topic = world.topic()
    witness = world.peer("witness")
    witness.subscribe((topic, 2))
    will = {"topic": topic, "payload": "gone", "qos": 1, "retain": True}
    world.peer("polite", will=will).end()
    witness.expect_only(witness, topic)
    world.peer("lost", will=will).cut()
    message = witness.message()
    assert (message.payload.decode(), message.qos, message.retain) == ("gone", 1, False)
    late = world.peer("late")
    late.subscribe((topic, 1))
    assert late.message().retain
    witness.publish(topic, b"", 1, retain=True)


@for_versions(*ALL)
def session_resumes_with_its_queue_in_order(world):
    topic = world.topic()
    publisher = world.peer("publisher")
    sleeper = world.peer("sleeper", clean=False, expiry=300)
    assert not sleeper.session_present
    sleeper.subscribe((topic, 2))
    sleeper.cut()
    queued = {qos: [f"queued {index} at {qos}" for index in range(20)] for qos in (1, 2)}
    for pair in zip(queued[1], queued[2]):
        for qos, payload in enumerate(pair, start=1):
            publisher.publish(topic, payload, qos)
    sleeper = world.peer("sleeper", clean=False, expiry=300)
    # MQTT 3.1 has no session present flag.
    assert sleeper.session_present or world.version == "3.1"
    publisher.publish(topic, "fresh", 1)
    # A QoS 2 message is handed over when its exchange has ended, so order is seen within a QoS.
    messages = [sleeper.message() for _ in range(41)]
    for qos, rest in ((1, ["fresh"]), (2, [])):
        expect([message.payload.decode() for message in messages if message.qos == qos], queued[qos] + rest)
    sleeper.end()
    fresh = world.peer("sleeper", clean=True)
    assert not fresh.session_present
    publisher.publish(topic, "to nobody", 1)
    fresh.subscribe((topic, 1))
    fresh.expect_only(publisher, topic)


@for_versions(*ALL)
def shared_subscription_splits_the_work(world):
    topic = world.topic()
    publisher, outside = world.peer("publisher"), world.peer("outside")
    outside.subscribe((topic, 1))
    members = [world.peer(f"member{index}") for index in range(3)]
    for member in members:
        assert member.subscribe((f"$share/{world.name}/{topic}", 1)) == [1]
    sent = [str(index) for index in range(60)]
    publisher.publish_all(topic, sent, 1)
    assert outside.payloads(len(sent)) == sent
    # All is with the members once each has the marker sent to it alone.
    for member in members:
        member.subscribe((f"{topic}/{member.name}", 1))
        publisher.publish(f"{topic}/{member.name}", "marker", 1)
    parts = []
    for member in members:
        part = []
        while (payload := member.message().payload.decode()) != "marker":
            part.append(payload)
        assert part == sorted(part, key=int), f"{member.name} got its part out of order"
        parts.append(part)
    assert all(parts), "a member of the group got nothing"
    assert sorted(sum(parts, []), key=int) == sent


@for_versions(*ALL)
def second_connection_takes_over(world):
    topic = world.topic()
    first = world.peer("same")
    second = world.peer("same")
    expect(first.disconnected(), SESSION_TAKEN_OVER if world.version == "5" else None)
    second.subscribe((topic, 1))
    second.expect_only(second, topic)


@for_versions(*ALL)
def wrong_password_is_refused(world):
    for login in ((world.job["username"], "wrong"), (f"nobody@{world.job['org_id']}", "wrong")):
        expect(world.refusal(login), BAD_USER_NAME_OR_PASSWORD)


@for_versions(*ALL)
def foreign_organization_is_refused(world):
    name = world.job["username"].split("@")[0]
    login = (f"{name}@{world.job['foreign_org_id']}", world.job["password"])
    expect(world.refusal(login), BAD_USER_NAME_OR_PASSWORD)


@for_versions(*ALL)
def forbidden_topic_is_refused(world):
    forbidden, allowed = f"forbidden/{world.name}", world.topic()
    peer = world.peer("peer")
    failure = NOT_AUTHORIZED if world.version == "5" else 0x80
    # MQTT 3.1 has no failure in SUBACK: the broker grants QoS 0 or says 0x80 all the same, and delivers nothing.
    codes = peer.subscribe((forbidden, 1), (allowed, 1))
    expect(codes, [failure, 1])
    expect(peer.publish(forbidden, "x", 1), NOT_AUTHORIZED if world.version == "5" else SUCCESS)
    peer.publish(forbidden, "x", 2)
    peer.publish(forbidden, "x", 0)
    peer.expect_only(peer, allowed)


@for_versions("5")
def properties_travel_end_to_end(world):
    topic = world.topic()
    publisher, subscriber = world.peer("publisher"), world.peer("subscriber")
    subscriber.subscribe((topic, 2))
    user = [("b", "1"), ("a", "2"), ("b", "3"), ("", "")]
    for qos in (0, 1, 2):
        publisher.publish(
            topic,
            "x",
            qos,
            UserProperty=user,
            ContentType="text/plain",
            ResponseTopic="answers/here",
            CorrelationData=b"\x00\x01\xff",
            PayloadFormatIndicator=1,
        )
        got = subscriber.message().properties
        assert got.UserProperty == user, got.UserProperty
        assert got.ContentType == "text/plain"
        assert got.ResponseTopic == "answers/here"
        assert got.CorrelationData == b"\x00\x01\xff"
        assert got.PayloadFormatIndicator == 1
        assert not hasattr(got, "MessageExpiryInterval")


@for_versions("5")
def will_carries_its_properties(world):
    topic = world.topic()
    witness = world.peer("witness")
    witness.subscribe((topic, 1))
    props = properties("WILLMESSAGE", UserProperty=[("why", "cut"), ("why", "wire")], ContentType="x/y", WillDelayInterval=0)
    world.peer("lost", will={"topic": topic, "payload": "gone", "qos": 1, "properties": props}).cut()
    got = witness.message().properties
    assert got.UserProperty == [("why", "cut"), ("why", "wire")] and got.ContentType == "x/y"


@for_versions("5")
def message_expiry_counts_down(world):
    topic = world.topic()
    publisher, subscriber = world.peer("publisher"), world.peer("subscriber")
    publisher.publish(topic, "long", 1, retain=True, MessageExpiryInterval=1_000)
    # Each SUBSCRIBE brings the retained message again: seconds are taken off while it is kept.
    end = time.monotonic() + DEADLINE_SECS
    remaining = 1_000
    while remaining == 1_000 and time.monotonic() < end:
        subscriber.subscribe((topic, 1))
        remaining = subscriber.message().properties.MessageExpiryInterval
        assert remaining <= 1_000
    assert 1_000 - DEADLINE_SECS < remaining < 1_000, remaining


@for_versions("5")
def expired_message_is_not_delivered(world):
    topic = world.topic()
    publisher, witness = world.peer("publisher"), world.peer("witness")
    witness.subscribe((f"{topic}-gone", 1))
    will = {"topic": f"{topic}-gone", "payload": "gone", "qos": 1}
    sleeper = world.peer("sleeper", clean=False, expiry=300, will=will)
    sleeper.subscribe((f"{topic}/#", 1))
    sleeper.cut()
    # What was already on its way to the connection would come again, however old.
    expect(witness.message().payload, b"gone")
    publisher.publish(f"{topic}/short", "short", 1, MessageExpiryInterval=1)
    publisher.publish(f"{topic}/long", "long", 1, MessageExpiryInterval=1_000)
    # The same age, seen from outside: once the retained one is gone, so is the queued one.
    publisher.publish(f"{topic}-clock", "short", 1, retain=True, MessageExpiryInterval=1)
    clock = world.peer("clock")
    end = time.monotonic() + DEADLINE_SECS
    while time.monotonic() < end:
        clock.subscribe((f"{topic}-clock", 1))
        clock.publish(f"{topic}-clock", "marker", 1)
        if clock.message().payload == b"marker":
            break
        clock.message()
    else:
        raise AssertionError("a retained message outlives its expiry")
    sleeper = world.peer("sleeper", clean=False, expiry=300)
    assert sleeper.session_present
    expect(sleeper.message().payload, b"long")


@for_versions("5")
def subscription_identifiers_come_with_the_message(world):
    topic = world.topic()
    publisher, subscriber = world.peer("publisher"), world.peer("subscriber")
    subscriber.subscribe((f"{topic}/#", 1), properties=properties("SUBSCRIBE", SubscriptionIdentifier=7))
    subscriber.subscribe((f"{topic}/+", 2), properties=properties("SUBSCRIBE", SubscriptionIdentifier=268_435_455))
    publisher.publish(f"{topic}/x", "x", 2)
    message = subscriber.message()
    got = [message]
    # One message with both identifiers, or one per subscription: both are allowed.
    if len(message.properties.SubscriptionIdentifier) < 2:
        got.append(subscriber.message())
    ids = sorted(sum((part.properties.SubscriptionIdentifier for part in got), []))
    assert ids == [7, 268_435_455], ids


@for_versions("5")
def topic_alias_both_ways(world):
    topic = world.topic()
    publisher = world.peer("publisher")
    subscriber = world.peer("subscriber", TopicAliasMaximum=5)
    subscriber.subscribe((topic, 1))
    assert publisher.connack.TopicAliasMaximum >= 1
    publisher.publish(topic, "0", 1, TopicAlias=1)
    for index in range(1, 4):
        publisher.publish("", str(index), 1, TopicAlias=1)
    # paho shows what came: a topic with an alias for it, then perhaps the alias alone.
    known = {}
    for index in range(4):
        message = subscriber.message()
        assert message.payload.decode() == str(index)
        alias = getattr(message.properties, "TopicAlias", None)
        assert alias is None or 1 <= alias <= 5
        name = message.topic or known[alias]
        if alias is not None:
            known[alias] = name
        assert name == topic


@for_versions("5")
def subscription_options_hold(world):
    topic = world.topic()
    peer, other = world.peer("peer"), world.peer("other")
    other.publish(f"{topic}/kept", "kept", 1, retain=True)
    peer.subscribe((f"{topic}/own", SubscribeOptions(qos=1, noLocal=True)))
    peer.publish(f"{topic}/own", "mine", 1)
    peer.expect_only(other, f"{topic}/own", "theirs")
    peer.subscribe((f"{topic}/flag", SubscribeOptions(qos=1, retainAsPublished=True)))
    other.publish(f"{topic}/flag", "flagged", 1, retain=True)
    assert peer.message().retain
    never, once = SubscribeOptions(qos=1, retainHandling=2), SubscribeOptions(qos=1, retainHandling=1)
    peer.subscribe((f"{topic}/kept", never))
    peer.expect_only(other, f"{topic}/own", "nothing came")
    peer.unsubscribe(f"{topic}/kept")
    peer.subscribe((f"{topic}/kept", once))
    assert peer.message().payload == b"kept"
    peer.subscribe((f"{topic}/kept", once))
    peer.expect_only(other, f"{topic}/own", "nothing came")
    for name in ("kept", "flag"):
        other.publish(f"{topic}/{name}", b"", 1, retain=True)


@for_versions("5")
def reason_codes_tell_what_happened(world):
    topic = world.topic()
    peer = world.peer("peer")
    assert peer.publish(topic, "x", 1) == NO_MATCHING_SUBSCRIBERS
    peer.subscribe((topic, 1))
    assert peer.publish(topic, "x", 1) == SUCCESS
    assert peer.message().payload == b"x"


@for_versions("3.1.1", "5")
def empty_client_id_gets_one(world):
    topic = world.topic()
    peer = world.nameless()
    if world.version == "5":
        assert peer.connack.AssignedClientIdentifier
    peer.subscribe((topic, 1))
    peer.expect_only(peer, topic)
    peer.end()


@for_versions(*ALL)
def pings_keep_the_connection(world):
    topic = world.topic()
    peer = world.peer("peer", keep_alive=1)
    # paho pings when its keep alive has passed and gives up when no answer comes within another one.
    peer.pings_answered(3)
    peer.subscribe((topic, 1))
    peer.expect_only(peer, topic)
