import assert from "node:assert/strict";
import { test } from "node:test";

import type { Client } from "../src/client/client.js";
import type { ClientOptions, Will } from "../src/client/options.js";
import type { Codec } from "../src/messages/codec.js";
import { Subscription, type SubscribeOptions } from "../src/messages/subscription.js";
import { members, Presence } from "../src/presence.js";
import { route } from "../src/topics/pattern.js";
import type { RawMessage } from "../src/wire/events.js";

const NONE = new Uint8Array();

/** What presence needs of a client; the test is its server. */
class Served {
  readonly options: ClientOptions;
  readonly said: [topic: string, text: string, qos: number | undefined, retain: boolean | undefined][] = [];
  state: { kind: string } = { kind: "connecting" };
  subscription: Subscription<any, any> | undefined;
  readonly #listeners = new Map<string, Set<(event: unknown) => void>>();

  constructor(will?: Will, more: Partial<ClientOptions> = {}) {
    this.options = { url: "wss://localhost", ...(will ? { will } : {}), ...more };
  }

  get client(): Client {
    return this as unknown as Client;
  }

  on(name: string, listener: (event: any) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  onLeaving = (listener: () => void) => this.on("leaving", listener);

  emit(name: string, event?: unknown): void {
    for (const listener of this.#listeners.get(name) ?? []) listener(event);
  }

  connect(): void {}

  lose(): void {
    this.state = { kind: "waiting" };
  }

  accept(continuity = "new"): void {
    this.state = { kind: "connected" };
    this.emit("connected", { continuity });
  }

  async publish(topic: string, data: unknown, { codec, qos, retain }: { codec: Codec<any>; qos?: number; retain?: boolean }) {
    this.said.push([topic, new TextDecoder().decode(codec.encode(data)), qos, retain]);
    return { kind: "acked", reason: 0 };
  }

  subscribe(pattern: string, options: SubscribeOptions<any>): Subscription<any, any> {
    const end = async (it: Subscription<any, any>) => it.finish();
    const warn = (warning: unknown) => assert.fail(`${warning}`);
    return (this.subscription = new Subscription(pattern, route(pattern), options.codec!, options, { end, warn }));
  }

  deliver(topic: string, text: string): void {
    const raw = { topic, flags: 0, payload: new TextEncoder().encode(text), properties: NONE, delivery: 0, receivers: [1] };
    this.subscription!.offer(raw as unknown as RawMessage, undefined);
  }
}

test("a member is said with each connection, and taken back when it leaves", async () => {
  const presence = new Presence<{ name: string }>({ room: "rooms/1", member: "ada" });
  assert.deepEqual(presence.will, { topic: "rooms/1/ada", payload: "", qos: 1, retain: true, delay: 5 });
  const served = new Served(presence.will);
  const joining = presence.join(served.client, { name: "Ada" });
  assert.deepEqual(served.said, [], "nothing waits in the queue of the client");
  served.accept();
  assert.equal((await joining).kind, "acked");
  await presence.update({ name: "Ada L." });
  served.lose();
  await presence.update({ name: "Ada B." });
  served.accept("resumed");
  served.emit("leaving");
  await presence.leave();
  served.accept("resumed");
  const words: [string, number][] = [['{"name":"Ada"}', 1], ['{"name":"Ada L."}', 1], ['{"name":"Ada B."}', 1], ["", 0], ["", 1]];
  assert.deepEqual(served.said, words.map(([text, qos]) => ["rooms/1/ada", text, qos, true]));
  assert.equal(presence.isJoined, false);
});

test("who leaves while the network is lost says so behind what is sent again, once, unless it is back", async () => {
  for (const isBack of [false, true]) {
    const presence = new Presence({ room: "rooms/1", member: "ada" });
    const served = new Served(presence.will);
    served.accept();
    await presence.join(served.client, 1);
    served.lose();
    await presence.leave();
    const joined = isBack ? presence.join(served.client, 2) : undefined;
    served.accept("resumed");
    await joined;
    served.accept("resumed");
    const texts = served.said.map(([, text]) => text);
    assert.deepEqual(texts, isBack ? ["1", "2", "2"] : ["1", ""]);
  }
});

test("who cannot come in has not joined", async () => {
  const presence = new Presence({ room: "rooms/1", member: "ada" });
  const served = new Served(presence.will);
  const joining = presence.join(served.client, 1);
  served.emit("state", { kind: "waiting" });
  served.emit("state", { kind: "closed", why: "refused" });
  await assert.rejects(joining, { code: "closed" });
  assert.deepEqual(served.said, []);
});

test("what a store would keep is said at QoS 0", async () => {
  const presence = new Presence({ room: "rooms/1", member: "ada" });
  const served = new Served(presence.will, { store: {} as NonNullable<ClientOptions["store"]> });
  served.accept();
  await presence.join(served.client, 1);
  assert.deepEqual(served.said, [["rooms/1/ada", "1", 0, true]]);
});

test("a client without the will is refused, and so are names that are no topics", () => {
  const presence = new Presence({ room: "rooms/1" });
  assert.throws(() => presence.join(new Served().client, 1), /presence\.will/);
  assert.throws(() => presence.join(new Served(new Presence({ room: "rooms/1" }).will).client, 1), /presence\.will/);
  const shared = Object.assign(new Served(presence.will), { isShared: true });
  assert.throws(() => presence.join(shared.client, 1), /tabs/);
  for (const room of ["", "rooms/+", "#", "$share/a/b"]) assert.throws(() => new Presence({ room }), TypeError);
  for (const member of ["", "a/b", "+", "#"]) assert.throws(() => new Presence({ room: "r", member }), TypeError);
  assert.throws(() => members(new Served().client, "rooms/#"), TypeError);
});

test("members come and go, and what comes together is told once", async () => {
  const served = new Served();
  const room = members<number>(served.client, "rooms/1", { max: 2 });
  let told = 0;
  const stop = room.subscribe(() => (told += 1));
  const before = room.current;
  for (const [member, text] of [["a", "1"], ["b", "2"], ["c", "3"], ["a", "4"]]) served.deliver(`rooms/1/${member}`, text!);
  assert.equal(room.current, before);
  await Promise.resolve();
  assert.deepEqual([[...room.current], told], [[["a", 4], ["b", 2]], 1]);
  served.deliver("rooms/1/a", "");
  await Promise.resolve();
  assert.deepEqual([[...room.current], told], [[["b", 2]], 2]);
  stop();
  served.accept("resumed");
  await Promise.resolve();
  assert.equal(room.current.size, 1);
  served.accept("lost");
  await Promise.resolve();
  assert.deepEqual([room.current.size, told], [0, 2]);
});

test("a loop gets the newest list, until the end", async () => {
  const served = new Served();
  const room = members<number>(served.client, "rooms/1");
  const lists: number[][] = [];
  const reading = (async () => {
    for await (const list of room) lists.push([...list.values()]);
  })();
  await Promise.resolve();
  served.deliver("rooms/1/a", "1");
  await Promise.resolve();
  await Promise.resolve();
  served.deliver("rooms/1/b", "2");
  served.deliver("rooms/1/c", "3");
  await new Promise(setImmediate);
  await room.close();
  await reading;
  assert.deepEqual([lists[0], lists.at(-1)], [[], [1, 2, 3]]);
});
