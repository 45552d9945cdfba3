import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../src/client/client.js";
import { CloudSignalError } from "../src/client/error.js";
import type { Change, RecordKey, Shelf } from "../src/store/keeper.js";
import { createClient } from "../src/tabs.js";
import { Deliveries } from "../src/tabs/deliveries.js";
import { MarkingStore } from "../src/tabs/marks.js";
import { Pending, type Said } from "../src/tabs/pending.js";
import type { Arrived, ToTab } from "../src/tabs/protocol.js";
import { TokenDesk } from "../src/tabs/tokens.js";
import type { Event } from "../src/wire/events.js";
import { DELETE, DUP, PUT, SYNC } from "../src/wire/layout.js";

const bytes = (text: string) => new TextEncoder().encode(text);
/** Everything that is due has happened. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

const arrived = (receipt: number, payload: string, isAgain = false, id = 1): Arrived => ({
  kind: "message", id, receipt, topic: "t", bits: 2 | (isAgain ? DUP : 0), payload: bytes(payload), properties: bytes(""),
});

test("what a tab has is not taken from the next hub again, and is acknowledged there", () => {
  const acknowledged: number[] = [];
  const deliveries = new Deliveries((receipt) => acknowledged.push(receipt));
  const [confirmed, done, open] = ["a", "b", "c"].map((it, at) => deliveries.take(arrived(at + 1, it)));
  confirmed!.settle();
  done!.settle();
  deliveries.confirm([1]);
  deliveries.onHub();
  assert.deepEqual(acknowledged.splice(0), [1, 2]);
  assert.equal(deliveries.take(arrived(1, "b", true)), undefined);
  assert.deepEqual(acknowledged.splice(0), [1], "it was done with before");
  assert.equal(deliveries.take(arrived(2, "c", true)), undefined);
  assert.deepEqual(acknowledged, [], "it is not done with yet");
  open!.settle();
  assert.deepEqual(acknowledged, [2], "under its new name");
});

test("equal messages are counted, new ones are never mistaken for old ones", () => {
  const deliveries = new Deliveries(() => {});
  deliveries.take(arrived(1, "x"));
  deliveries.take(arrived(2, "x"));
  deliveries.onHub();
  assert.equal(deliveries.take(arrived(1, "x", true)), undefined);
  assert.ok(deliveries.take(arrived(2, "x", true, 2)), "of another subscription");
  assert.ok(deliveries.take(arrived(3, "x")), "it is sent for the first time");
  assert.ok(deliveries.take(arrived(4, "x", true)), "what was to come again has come");
});

const published = (number: number, qos: 0 | 1 | 2 = 1, size = 1): Said => ({
  kind: "publish", number, topic: "t", payload: new Uint8Array(size), options: { qos },
});

test("another hub is told what the one before may not have heard, in order", async () => {
  const pending = new Pending(10, 100);
  const said: number[] = [];
  const say = ({ number }: Said) => void said.push(number);
  const outcomes = [1, 2, 3].map((number) => pending.add<unknown>(published(number, number === 2 ? 0 : 1), true, () => say(published(number))));
  const late = pending.add<unknown>(published(4), false, () => assert.fail("there is nobody"));
  const question = pending.add<unknown>({ kind: "request", number: 5, topic: "t", payload: bytes(""), options: {}, timeoutMs: 1 }, true, () => {});
  assert.deepEqual(said.splice(0), [1, 2, 3]);
  pending.settle(1, { kind: "acked", reason: 0 });
  pending.sayAgain(say);
  assert.deepEqual(said, [3, 4]);
  assert.deepEqual(await outcomes[1], { kind: "indeterminate" }, "QoS 0 is not tried twice");
  await assert.rejects(question, { code: "indeterminate" });
  pending.queued(3);
  const queued = (await outcomes[2]) as { kind: string; done: Promise<unknown> };
  assert.equal(queued.kind, "queued");
  pending.fail(3, { code: "closed", message: "refused", kept: true });
  await assert.rejects(queued.done, (error: CloudSignalError) => error.kept === true && error.code === "closed");
  pending.finish();
  assert.deepEqual(await late, { kind: "indeterminate" });
});

test("what waits in a tab is bounded by messages and by bytes", async () => {
  const pending = new Pending(2, 10);
  const add = (number: number, size: number) => pending.add<unknown>(published(number, 1, size), false, () => {});
  void add(1, 20); // One may be larger than all.
  await assert.rejects(add(2, 1), { code: "full" });
  pending.settle(1, null);
  void add(3, 4);
  void add(4, 4);
  await assert.rejects(add(5, 1), { code: "full" });
});

class Memory implements Shelf {
  readonly writes: (readonly Change[])[] = [];
  constructor(readonly found: [RecordKey, Uint8Array][] = []) {}
  read = async () => this.found;
  write = async (changes: readonly Change[]) => void this.writes.push(changes);
}

const event = (kind: number, number: number): Event => ({ kind, detail: 2, number, code: 0, body: Uint8Array.of(1) });
const target = { restore: () => 1, stored: () => {}, storeFailed: () => {} };

test("a publication and its mark are written together, and the next hub finds both", async () => {
  const shelf = new Memory();
  const store = new MarkingStore(shelf);
  await store.load();
  store.attach(target);
  store.marking("tab 7", () => [event(PUT, 41), event(PUT, 41), event(SYNC, 1)].forEach((it) => store.onEvent(it)));
  await store.settled();
  assert.deepEqual(shelf.writes[0]!.map(([key]) => key), [[16, 41], [2, 41], [2, 41]]);
  assert.deepEqual([...store.tabs], ["tab"]);
  store.onEvent(event(DELETE, 41));
  store.forget("tab 7");
  store.onEvent(event(SYNC, 2));
  await store.settled();
  assert.deepEqual(shelf.writes[1], [[[2, 41]], [[16, 41]]]);

  const next = new MarkingStore(new Memory([[[16, 41], bytes("tab 7")], [[16, 42], bytes("tab 8")], [[2, 42], bytes("m")]]));
  await next.load();
  next.attach({ ...target, restore: (kind: number) => (assert.equal(kind, 2), 1) });
  assert.deepEqual([...next.left], [["tab 7", { order: 41, isOpen: false }], ["tab 8", { order: 42, isOpen: true }]]);
  next.forgetTab("tab");
  assert.equal(next.tabs.size, 0);
});

test("a token is asked of one tab, and of another when that one is gone or has none", async () => {
  const desk = new TokenDesk();
  const tab = () => {
    const asked: ToTab[] = [];
    return { asked, post: (what: ToTab) => void asked.push(what) };
  };
  const [first, second] = [tab(), tab()];
  const abort = new AbortController();
  const ask = () => desk.ask({ reason: "initial", signal: abort.signal, previous: undefined });
  const early = ask();
  desk.add(first);
  desk.add(second);
  assert.deepEqual([first.asked.length, second.asked.length], [1, 0]);
  desk.answer(1, undefined);
  await assert.rejects(early);
  const next = ask();
  assert.equal(second.asked.length, 1, "the other one's turn");
  desk.remove(second);
  assert.deepEqual(first.asked[1], { kind: "ask", question: 2, reason: "initial", previous: undefined });
  desk.answer(2, { password: "p" });
  assert.deepEqual(await next, { password: "p" });
  const refused = ask();
  desk.answer(3, null);
  assert.equal(await refused, null);
  const given = ask();
  abort.abort();
  await assert.rejects(given);
  assert.deepEqual(first.asked.at(-1), { kind: "asked enough", question: 4 });
  await settled();
});

test("where there are no locks, a tab has a client of its own", () => {
  const client = createClient({ url: "wss://localhost/", name: "app" });
  assert.ok(client instanceof Client);
  assert.deepEqual(client.state, { kind: "idle" });
});
