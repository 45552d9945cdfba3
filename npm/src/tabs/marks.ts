// Which publication of which tab became which record. Written in the same transaction as the record itself, so a tab
// that has outlived its hub may say again what it had said, and no message becomes two.

import type { Event } from "../wire/events.js";
import { decode, encode } from "../wire/fields.js";
import { DELETE, PUT, SYNC } from "../wire/layout.js";
import { Keeper, type RecordKey, type Shelf } from "../store/keeper.js";
import type { Store, StoreTarget } from "../store/store.js";

/** Kinds of records: the machine's for a message on its way, and ours. */
const OUTGOING = 2;
const MARK = 16;

/** A publication, among those of all tabs. */
export type Name = `${string} ${number}`;

/** What an earlier hub has left of a publication. */
export interface Mark {
  /** What the machine calls it. */
  readonly order: number;
  /** It is not out yet. */
  readonly isOpen: boolean;
}

/** A store that keeps marks beside the machine's records. */
export class MarkingStore implements Store {
  readonly #keeper: Keeper;
  /** Marks of earlier hubs. */
  readonly left = new Map<Name, Mark>();
  readonly #orders = new Map<Name, number>();
  #publishing: Name | undefined;
  #asked = 0;
  #stored = 0;
  #waiting: [ticket: number, resolve: () => void][] = [];

  constructor(shelf: Shelf) {
    this.#keeper = new Keeper({ read: () => this.#read(shelf), write: (changes) => shelf.write(changes) });
  }

  async #read(shelf: Shelf): Promise<(readonly [RecordKey, Uint8Array])[]> {
    const [records, marks] = [[] as (readonly [RecordKey, Uint8Array])[], [] as (readonly [RecordKey, Uint8Array])[]];
    for (const record of await shelf.read()) (record[0][0] === MARK ? marks : records).push(record);
    const open = new Set(records.filter(([[kind]]) => kind === OUTGOING).map(([[, order]]) => order));
    for (const [[, order], bytes] of marks) {
      const name = decode(bytes) as Name;
      this.left.set(name, { order, isOpen: open.has(order) });
      this.#orders.set(name, order);
    }
    return records;
  }

  /** What `publish` puts into the store belongs to this publication. */
  marking<T>(name: Name, publish: () => T): T {
    this.#publishing = name;
    try {
      return publish();
    } finally {
      this.#publishing = undefined;
    }
  }

  /** The tab knows what became of it, or is gone. The mark leaves with the next change of the store. */
  forget(name: Name): void {
    const order = this.#orders.get(name);
    this.#orders.delete(name);
    this.left.delete(name);
    if (order !== undefined) this.#keeper.onEvent(change(DELETE, order));
  }

  /** A tab is gone: nobody will ask for what it had published. */
  forgetTab(tab: string): void {
    for (const name of [...this.#orders.keys()]) if (name.startsWith(`${tab} `)) this.forget(name);
  }

  /** Tabs that have marks. */
  get tabs(): Set<string> {
    return new Set([...this.#orders.keys()].map((name) => name.split(" ", 1)[0]!));
  }

  /** Resolved when all that was said so far survives, or nothing will. */
  settled(): Promise<void> {
    if (this.#stored >= this.#asked) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push([this.#asked, resolve]));
  }

  load(): Promise<void> {
    return this.#keeper.load();
  }

  attach(target: StoreTarget): void {
    this.#keeper.attach({
      restore: (kind, number, record) => target.restore(kind, number, record),
      stored: (ticket) => {
        target.stored(ticket);
        this.#reach(ticket);
      },
      storeFailed: () => {
        target.storeFailed();
        this.#reach(Infinity);
      },
    });
  }

  onEvent(event: Event): void {
    if (event.kind === SYNC) this.#asked = event.number;
    if (event.kind === PUT && event.detail === OUTGOING && this.#publishing) {
      this.#orders.set(this.#publishing, event.number);
      this.#keeper.onEvent(change(PUT, event.number, encode(this.#publishing)));
      this.#publishing = undefined;
    }
    this.#keeper.onEvent(event);
  }

  #reach(ticket: number): void {
    this.#stored = Math.max(this.#stored, ticket);
    while (this.#waiting[0] && this.#waiting[0][0] <= this.#stored) this.#waiting.shift()![1]();
  }
}

function change(kind: number, order: number, bytes: Uint8Array = new Uint8Array()): Event {
  return { kind, detail: MARK, code: 0, number: order, body: bytes as Uint8Array<ArrayBuffer> };
}
