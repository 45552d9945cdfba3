// What MQTT.js does with the broker. Each function is one scenario; the second argument says where it applies.

import assert from "node:assert/strict";
import { DEADLINE_MILLIS } from "./client.mjs";

const ALL = ["3.1", "3.1.1", "5"];

const BAD_USER_NAME_OR_PASSWORD = 0x86;
const NOT_AUTHORIZED = 0x87;
const SESSION_TAKEN_OVER = 0x8e;

/** All scenarios, in order: `{ name, versions, run }`. */
export const scenarios = [];

function scenario(versions, run) {
  scenarios.push({ name: run.name, versions, run });
}

/** CONNACK codes of MQTT 3 beside those of MQTT 5. */
const connackCode = (world, v3, v5) => (world.version === "5" ? v5 : v3);

scenario(ALL, async function every_qos_both_ways(world) {
  const publisher = await world.peer("publisher");
  for (const granted of [0, 1, 2]) {
    const topic = world.topic(`granted${granted}`);
    const subscriber = await world.peer(`subscriber${granted}`);
    assert.deepEqual(await subscriber.subscribe(topic, { qos: granted }), [granted]);
    for (const qos of [0, 1, 2]) {
      await publisher.publish(topic, `at ${qos}`, qos);
      const { topic: name, payload, qos: got, retain, dup } = await subscriber.message();
      assert.deepEqual(
        [name, payload.toString(), got, retain, dup],
        [topic, `at ${qos}`, Math.min(qos, granted), false, false],
      );
    }
    await subscriber.expectOnly(publisher, topic);
  }
});

scenario(ALL, async function order_holds(world) {
  const topic = world.topic();
  const [publisher, subscriber] = [await world.peer("publisher"), await world.peer("subscriber")];
  await subscriber.subscribe(topic, { qos: 2 });
  // MQTT.js does not look at the broker's Receive Maximum, so a burst at QoS 2 has to stay below it.
  for (const [qos, length] of [600, 600, 200].entries()) {
    const sent = Array.from({ length }, (_, index) => `${qos} ${index}`);
    await Promise.all(sent.map((payload) => publisher.publish(topic, payload, qos)));
    assert.deepEqual(await subscriber.payloads(sent.length), sent);
  }
});

scenario(ALL, async function large_payload_arrives_whole(world) {
  const topic = world.topic();
  const [publisher, subscriber] = [await world.peer("publisher"), await world.peer("subscriber")];
  await subscriber.subscribe(topic, { qos: 1 });
  const payload = Buffer.from(Array.from({ length: 900_000 }, (_, index) => (index * 7) % 251));
  await publisher.publish(topic, payload, 1);
  assert(payload.equals((await subscriber.message()).payload));
});

scenario(ALL, async function unsubscribe_ends_delivery(world) {
  const topic = world.topic();
  const [publisher, subscriber] = [await world.peer("publisher"), await world.peer("subscriber")];
  await subscriber.subscribe([`${topic}/a`, `${topic}/+/b`], { qos: 1 });
  await subscriber.unsubscribe(`${topic}/a`);
  await publisher.publish(`${topic}/a`, "x", 1);
  await subscriber.expectOnly(publisher, `${topic}/any/b`);
});

scenario(ALL, async function retained_is_set_replaced_and_cleared(world) {
  const topic = world.topic();
  const [publisher, live] = [await world.peer("publisher"), await world.peer("live")];
  await live.subscribe(topic, { qos: 1 });
  for (const text of ["first", "second"]) {
    await publisher.publish(topic, text, 1, { retain: true });
    const { payload, retain } = await live.message();
    assert.deepEqual([payload.toString(), retain], [text, false]);
  }
  const late = await world.peer("late");
  await late.subscribe(topic, { qos: 1 });
  const { payload, retain } = await late.message();
  assert.deepEqual([payload.toString(), retain], ["second", true]);
  await publisher.publish(topic, "", 1, { retain: true });
  assert.equal((await late.message()).payload.length, 0);
  const after = await world.peer("after");
  await after.subscribe(topic, { qos: 1 });
  await after.expectOnly(publisher, topic);
});

scenario(ALL, async function will_follows_a_lost_connection_only(world) {
  const topic = world.topic();
  const witness = await world.peer("witness");
  await witness.subscribe(topic, { qos: 2 });
  const will = { topic, payload: Buffer.from("gone"), qos: 1, retain: false };
  await (await world.peer("polite", { will })).end();
  await witness.expectOnly(witness, topic);
  await (await world.peer("lost", { will })).cut();
  const { payload, qos } = await witness.message();
  assert.deepEqual([payload.toString(), qos], ["gone", 1]);
});

scenario(ALL, async function session_resumes_with_its_queue_in_order(world) {
  const topic = world.topic();
  const publisher = await world.peer("publisher");
  const stay = { clean: false, properties: { sessionExpiryInterval: 300 } };
  let sleeper = await world.peer("sleeper", stay);
  assert(!sleeper.connack.sessionPresent);
  await sleeper.subscribe(topic, { qos: 2 });
  await sleeper.cut();
  const queued = { 1: [], 2: [] };
  for (let index = 0; index < 20; index += 1) {
    for (const qos of [1, 2]) {
      queued[qos].push(`queued ${index} at ${qos}`);
      await publisher.publish(topic, queued[qos].at(-1), qos);
    }
  }
  sleeper = await world.peer("sleeper", stay);
  // MQTT 3.1 has no session present flag.
  assert(sleeper.connack.sessionPresent || world.version === "3.1");
  await publisher.publish(topic, "fresh", 1);
  queued[1].push("fresh");
  // A QoS 2 message is handed over when its exchange has ended, so order is seen within a QoS.
  const got = { 1: [], 2: [] };
  for (let index = 0; index < 41; index += 1) {
    const { payload, qos } = await sleeper.message();
    got[qos].push(payload.toString());
  }
  assert.deepEqual(got, queued);
  await sleeper.end();
  const fresh = await world.peer("sleeper", { clean: true });
  assert(!fresh.connack.sessionPresent);
});

scenario(ALL, async function shared_subscription_splits_the_work(world) {
  const topic = world.topic();
  const publisher = await world.peer("publisher");
  const members = [];
  for (const index of [0, 1, 2]) {
    const member = await world.peer(`member${index}`);
    assert.deepEqual(await member.subscribe(`$share/${world.name}/${topic}`, { qos: 1 }), [1]);
    await member.subscribe(`${topic}/${index}`, { qos: 1 });
    members.push(member);
  }
  const sent = Array.from({ length: 60 }, (_, index) => index);
  await Promise.all(sent.map((index) => publisher.publish(topic, String(index), 1)));
  const all = [];
  for (const [index, member] of members.entries()) {
    // All of its part is with the member once the marker, sent to it alone, is.
    await publisher.publish(`${topic}/${index}`, "marker", 1);
    const part = [];
    for (let text = ""; text !== "marker"; ) {
      text = (await member.message()).payload.toString();
      if (text !== "marker") part.push(Number(text));
    }
    assert(part.length > 0, `member ${index} got nothing`);
    assert.deepEqual(part, part.toSorted((a, b) => a - b));
    all.push(...part);
  }
  assert.deepEqual(all.toSorted((a, b) => a - b), sent);
});

scenario(ALL, async function second_connection_takes_over(world) {
  const topic = world.topic();
  const first = await world.peer("same");
  const second = await world.peer("same");
  assert.equal(await first.disconnected(), world.version === "5" ? SESSION_TAKEN_OVER : null);
  await second.subscribe(topic, { qos: 1 });
  await second.expectOnly(second, topic);
});

scenario(ALL, async function wrong_password_is_refused(world) {
  const code = connackCode(world, 4, BAD_USER_NAME_OR_PASSWORD);
  assert.equal(await world.refusal([world.job.username, "wrong"]), code);
});

scenario(ALL, async function foreign_organization_is_refused(world) {
  const code = connackCode(world, 4, BAD_USER_NAME_OR_PASSWORD);
  const [name] = world.job.username.split("@");
  assert.equal(await world.refusal([`${name}@${world.job.foreign_org_id}`, world.job.password]), code);
});

scenario(ALL, async function forbidden_topic_is_refused(world) {
  const [forbidden, allowed] = [`forbidden/${world.name}`, world.topic()];
  const peer = await world.peer("peer");
  const failure = world.version === "5" ? NOT_AUTHORIZED : 0x80;
  assert.deepEqual(await peer.subscribe([forbidden, allowed], { qos: 1 }), [failure, 1]);
  for (const qos of [1, 2]) {
    assert.equal(await peer.publish(forbidden, "x", qos), world.version === "5" ? NOT_AUTHORIZED : 0);
  }
  await peer.publish(forbidden, "x", 0);
  await peer.expectOnly(peer, allowed);
});

scenario(ALL, async function pings_keep_the_connection(world) {
  const peer = await world.peer("peer", { keepalive: 1 });
  await peer.pingsAnswered(3);
});

scenario(["5"], async function properties_travel_end_to_end(world) {
  const topic = world.topic();
  const [publisher, subscriber] = [await world.peer("publisher"), await world.peer("subscriber")];
  await subscriber.subscribe(topic, { qos: 2 });
  const properties = {
    payloadFormatIndicator: true,
    contentType: "text/plain",
    responseTopic: "answers/here",
    correlationData: Buffer.from([0, 1, 255]),
    userProperties: { b: ["1", "3"], a: "2" },
  };
  for (const qos of [0, 1, 2]) {
    await publisher.publish(topic, "x", qos, { properties });
    const got = (await subscriber.message()).properties;
    assert.deepEqual({ ...got, userProperties: { ...got.userProperties } }, properties);
  }
});

scenario(["5"], async function message_expiry_counts_down(world) {
  const topic = world.topic();
  const [publisher, subscriber] = [await world.peer("publisher"), await world.peer("subscriber")];
  const properties = { messageExpiryInterval: 1_000 };
  await publisher.publish(topic, "long", 1, { retain: true, properties });
  // Each SUBSCRIBE brings the retained message again: seconds are taken off while it is kept.
  let remaining = 1_000;
  for (const end = Date.now() + DEADLINE_MILLIS; remaining === 1_000 && Date.now() < end; ) {
    await subscriber.subscribe(topic, { qos: 1 });
    remaining = (await subscriber.message()).properties.messageExpiryInterval;
  }
  assert(remaining < 1_000 && remaining > 900, `${remaining} s remain`);
});

scenario(["5"], async function subscription_identifiers_come_with_the_message(world) {
  const topic = world.topic();
  const peer = await world.peer("peer");
  await peer.subscribe(`${topic}/#`, { qos: 1, properties: { subscriptionIdentifier: 7 } });
  await peer.subscribe(`${topic}/+`, { qos: 2, properties: { subscriptionIdentifier: 268_435_455 } });
  await peer.publish(`${topic}/x`, "x", 2);
  // One message with both identifiers, or one per subscription: both are allowed.
  const ids = [];
  while (ids.length < 2) ids.push(...[(await peer.message()).properties.subscriptionIdentifier].flat());
  assert.deepEqual(ids.toSorted((a, b) => a - b), [7, 268_435_455]);
});

scenario(["5"], async function topic_alias_both_ways(world) {
  const topics = [world.topic("one"), world.topic("two")];
  const publisher = await world.peer("publisher", { autoAssignTopicAlias: true });
  const subscriber = await world.peer("subscriber", { properties: { topicAliasMaximum: 1 } });
  assert(publisher.connack.properties.topicAliasMaximum >= 2);
  const sent = [];
  publisher.mqtt.on("packetsend", (packet) => {
    if (packet.cmd === "publish") sent.push([packet.topic, packet.properties?.topicAlias]);
  });
  await subscriber.subscribe(topics, { qos: 1 });
  for (let index = 0; index < 8; index += 1) {
    const topic = topics[index % 2];
    await publisher.publish(topic, String(index), 1);
    // MQTT.js puts the topic back in the place of its alias.
    const message = await subscriber.message();
    assert.deepEqual([message.topic, message.payload.toString()], [topic, String(index)]);
  }
  assert(sent.slice(2).every(([topic, alias]) => topic === "" && alias > 0), "MQTT.js used no alias");
});

scenario(["5"], async function request_finds_its_answer(world) {
  const topic = world.topic();
  const [asking, answering] = [await world.peer("asking"), await world.peer("answering")];
  await answering.subscribe(`${topic}/question`, { qos: 1 });
  await asking.subscribe(`${topic}/answer`, { qos: 1 });
  const properties = { responseTopic: `${topic}/answer`, correlationData: Buffer.from("17") };
  await asking.publish(`${topic}/question`, "?", 1, { properties });
  const { responseTopic, correlationData } = (await answering.message()).properties;
  await answering.publish(responseTopic, "!", 1, { properties: { correlationData } });
  const answer = await asking.message();
  assert.equal(answer.payload.toString() + answer.properties.correlationData, "!17");
});
