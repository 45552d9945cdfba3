// What a client asks of its store. Everything else about storing is in the entry `store`, which a page without one
// does not load.

import type { Event } from "../wire/events.js";

/** What a store tells the machine. */
export interface StoreTarget {
  /** Gives back a record. Answers 0 when it is of no use. */
  restore(kind: number, number: number, record: Uint8Array): number;
  /** Everything up to this ticket will survive. */
  stored(ticket: number): void;
  /** The store has failed for good. */
  storeFailed(): void;
}

/** Keeps what the machine wants kept. `indexedDbStore` of `@cloudsignal/client/store` is one. */
export interface Store {
  /** Reads what an earlier page has left. Never rejected: a store that cannot be read has failed. */
  load(): Promise<void>;
  /** The machine is there: it is given back what was read. */
  attach(target: StoreTarget): void;
  /** A PUT, DELETE or SYNC. */
  onEvent(event: Event): void;
}
