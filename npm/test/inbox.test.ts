import assert from "node:assert/strict";
import { test } from "node:test";

import { Inbox } from "../src/messages/inbox.js";
import { Delivery, type Message, type Qos } from "../src/messages/message.js";

function message(data: number, qos: Qos): Message<number, unknown> {
  return { topic: "t", params: {}, data, qos, retain: false, dup: false, properties: {}, ack: () => {} };
}

function all(inbox: Inbox<Message<number, unknown>>): number[] {
  const taken: number[] = [];
  for (let it = inbox.take(); it; it = inbox.take()) taken.push(it.data);
  return taken;
}

test("the oldest of QoS 0 goes, and nothing else", () => {
  const inbox = new Inbox<Message<number, unknown>>(2);
  const dropped = [message(1, 1), message(2, 0), message(3, 0), message(4, 0), message(5, 2)].map((it) => inbox.put(it));
  assert.deepEqual(dropped, [0, 0, 0, 1, 0]);
  assert.deepEqual(all(inbox), [1, 3, 4, 5]);
  assert.equal(inbox.put(message(6, 0)), 0, "there is room again");
});

test("order holds over many puts and takes", () => {
  const inbox = new Inbox<Message<number, unknown>>(10_000);
  const taken: number[] = [];
  for (let number = 0; number < 3000; number += 1) {
    inbox.put(message(number, 1));
    if (number % 3 === 0) taken.push(inbox.take()!.data);
  }
  assert.deepEqual([...taken, ...all(inbox)], Array.from({ length: 3000 }, (_, number) => number));
});

test("a message is done with when all of its receivers are", () => {
  let done = 0;
  const delivery = new Delivery(2, () => (done += 1));
  delivery.settle();
  assert.equal(done, 0);
  delivery.settle();
  assert.equal(done, 1);
});
