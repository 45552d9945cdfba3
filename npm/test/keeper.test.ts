import assert from "node:assert/strict";
import { test } from "node:test";

import { Keeper, type Change, type RecordKey, type Shelf } from "../src/store/keeper.js";
import type { StoreTarget } from "../src/store/store.js";
import type { Event } from "../src/wire/events.js";
import { DELETE, PUT, SYNC } from "../src/wire/layout.js";

/** A shelf whose writes end when the test says so. */
class SlowShelf implements Shelf {
  writes: { changes: readonly Change[]; end: (error?: Error) => void }[] = [];

  constructor(readonly found: [RecordKey, Uint8Array][] = []) {}

  async read() {
    return this.found;
  }

  write(changes: readonly Change[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.writes.push({ changes, end: (error) => (error ? reject(error) : resolve()) });
    });
  }
}

class Target implements StoreTarget {
  readonly told: unknown[] = [];
  restore = (kind: number, number: number) => (this.told.push(["restore", kind, number]), kind === 4 ? 0 : 1);
  stored = (ticket: number) => void this.told.push(ticket);
  storeFailed = () => void this.told.push("failed");
}

const event = (kind: number, number: number, detail = 2): Event => ({ kind, detail, number, code: 0, body: Uint8Array.of(number) });
/** Everything that is due has happened. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("what comes while it writes is written together, and tickets come in order", async () => {
  const [shelf, target] = [new SlowShelf(), new Target()];
  const keeper = new Keeper(shelf);
  await keeper.load();
  keeper.attach(target);
  for (const it of [event(PUT, 1), event(SYNC, 1), event(PUT, 2), event(SYNC, 2), event(DELETE, 1), event(SYNC, 3)]) keeper.onEvent(it);
  assert.deepEqual(shelf.writes.map(({ changes }) => changes.length), [1]);
  assert.deepEqual(target.told, [], "nothing survives yet");
  shelf.writes[0]!.end();
  await settled();
  assert.deepEqual(target.told, [1]);
  assert.deepEqual(shelf.writes[1]!.changes, [[[2, 2], Uint8Array.of(2)], [[2, 1]]]);
  shelf.writes[1]!.end();
  await settled();
  assert.deepEqual(target.told, [1, 3]);
});

test("records come back, and those of no use are deleted", async () => {
  const [shelf, target] = [new SlowShelf([[[0, 0], Uint8Array.of(1)], [[4, 9], Uint8Array.of(2)]]), new Target()];
  const keeper = new Keeper(shelf);
  await keeper.load();
  keeper.attach(target);
  assert.deepEqual(target.told, [["restore", 0, 0], ["restore", 4, 9]]);
  keeper.onEvent(event(SYNC, 1));
  assert.deepEqual(shelf.writes[0]!.changes, [[[4, 9]]]);
});

test("a shelf that fails is told once, and nothing more is put there", async () => {
  const [shelf, target] = [new SlowShelf(), new Target()];
  const keeper = new Keeper(shelf);
  await keeper.load();
  keeper.attach(target);
  keeper.onEvent(event(PUT, 1));
  keeper.onEvent(event(SYNC, 1));
  shelf.writes[0]!.end(new Error("full"));
  await settled();
  keeper.onEvent(event(PUT, 2));
  keeper.onEvent(event(SYNC, 2));
  assert.deepEqual([target.told, shelf.writes.length], [["failed"], 1]);
});

test("a shelf that cannot be read has failed", async () => {
  const target = new Target();
  const keeper = new Keeper({ read: () => Promise.reject(new Error("private")), write: async () => {} });
  await keeper.load();
  keeper.attach(target);
  assert.deepEqual(target.told, ["failed"]);
});
