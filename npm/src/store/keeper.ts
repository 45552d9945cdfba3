import type { Store, StoreTarget } from "./store.js";
import type { Event } from "../wire/events.js";
import { DELETE, PUT, SYNC } from "../wire/layout.js";

/** The name of a record: its kind, and its number among that kind. */
export type RecordKey = readonly [kind: number, number: number];

/** A record that is put, or, without one, deleted. */
export type Change = readonly [key: RecordKey, record?: Uint8Array];

/** Where records lie. */
export interface Shelf {
  /** Everything that is there. */
  read(): Promise<Iterable<readonly [RecordKey, Uint8Array]>>;
  /** Carries the changes out, all or none of them. Resolved once they survive the page. */
  write(changes: readonly Change[]): Promise<void>;
}

/**
 * A store on a shelf. What comes while it is writing is written together afterwards, so a burst of messages costs
 * a few transactions. The machine's queue bounds what waits.
 */
export class Keeper implements Store {
  readonly #shelf: Shelf;
  #found: (readonly [RecordKey, Uint8Array])[] = [];
  #target: StoreTarget | undefined;
  #changes: Change[] = [];
  #ticket = 0;
  #isWriting = false;
  #hasFailed = false;

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
  }

  async load(): Promise<void> {
    try {
      this.#found = [...(await this.#shelf.read())];
    } catch {
      this.#hasFailed = true;
    }
  }

  attach(target: StoreTarget): void {
    this.#target = target;
    if (this.#hasFailed) return target.storeFailed();
    for (const [key, record] of this.#found) {
      if (!target.restore(...key, record)) this.#changes.push([key]); // Nobody can use it, now or later.
    }
    this.#found = [];
  }

  onEvent({ kind, detail, number, body }: Event): void {
    if (this.#hasFailed) return;
    if (kind === PUT) this.#changes.push([[detail, number], body]);
    else if (kind === DELETE) this.#changes.push([[detail, number]]);
    else if (kind === SYNC) {
      this.#ticket = number;
      if (!this.#isWriting) void this.#write();
    }
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      for (let written = 0; written < this.#ticket; ) {
        const [ticket, changes] = [this.#ticket, this.#changes];
        this.#changes = [];
        await this.#shelf.write(changes);
        written = ticket;
        this.#target?.stored(ticket);
      }
    } catch {
      this.#hasFailed = true;
      this.#changes = [];
      this.#target?.storeFailed();
    }
    this.#isWriting = false;
  }
}
