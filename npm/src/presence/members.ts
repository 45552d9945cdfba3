import type { Client } from "../client/client.js";
import type { Codec } from "../messages/codec.js";
import { optional } from "../messages/optional.js";
import type { Subscription } from "../messages/subscription.js";
import { checkRoom } from "./levels.js";

/** So many members of a room are listed. */
const MEMBERS_MAX = 10_000;

export interface MembersOptions<S> {
  /** How states are read. Default: the client's. */
  codec?: Codec<S>;
  /** So many members are listed; of more, those that come later are not. Default: 10 000. */
  max?: number;
}

/**
 * Who is in a room, as the server knows it. `subscribe` and `current` are what React's `useSyncExternalStore` and the
 * stores of other frameworks want; the loop of `for await` gets the list whenever it has changed.
 */
export class Members<S = unknown> implements AsyncIterable<ReadonlyMap<string, S>> {
  /** Resolved when the server has granted the subscription; rejected when it refuses. */
  readonly ready: Promise<void>;
  readonly #subscription: Subscription<S | undefined, { readonly member: string }>;
  readonly #members = new Map<string, S>();
  readonly #max: number;
  readonly #stopListening: () => void;
  readonly #listeners = new Set<() => void>();
  #current: ReadonlyMap<string, S> = new Map();
  #isTelling = false;
  #hasEnded = false;

  /** @internal */
  constructor(client: Client, room: string, { codec, max = MEMBERS_MAX }: MembersOptions<S>) {
    this.#max = max;
    this.#subscription = client.subscribe(`${checkRoom(room)}/:member`, { qos: 1, codec: optional(client, codec) });
    this.ready = this.#subscription.ready.then(() => {});
    this.ready.catch(() => this.#end());
    this.#subscription.on(({ params, data }) => this.#put(params.member, data));
    this.#stopListening = client.on("connected", ({ continuity }) => {
      // Who left meanwhile was not told; those who are there are told now.
      if (continuity === "lost" || continuity === "new") this.#change(() => this.#members.clear());
    });
  }

  /** The members and their states; another object whenever something has changed. */
  get current(): ReadonlyMap<string, S> {
    return this.#current;
  }

  /** Calls back when something has changed: once for everything that came together. Answers how to stop. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** The list now, and whenever it has changed. A slow reader gets the newest one, not each. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ReadonlyMap<string, S>, void, undefined> {
    let wake = () => {};
    const stop = this.subscribe(() => wake());
    try {
      for (let seen: ReadonlyMap<string, S> | undefined; !this.#hasEnded; ) {
        if (seen !== this.#current) yield (seen = this.#current);
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      stop();
    }
  }

  /** Ends the subscription, and every loop. */
  async close(): Promise<void> {
    this.#end();
    await this.#subscription.unsubscribe();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #put(member: string, state: S | undefined): void {
    const members = this.#members;
    if (state === undefined) this.#change(() => members.delete(member));
    else if (members.size < this.#max || members.has(member)) this.#change(() => members.set(member, state));
  }

  /** What comes in one task is told together, in the microtask behind it. */
  #change(what: () => void): void {
    what();
    if (this.#isTelling) return;
    this.#isTelling = true;
    queueMicrotask(() => {
      this.#isTelling = false;
      this.#current = new Map(this.#members);
      this.#tell();
    });
  }

  #end(): void {
    this.#hasEnded = true;
    this.#stopListening();
    this.#tell();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Who is in a room. One need not be a member of it. */
export function members<S = unknown>(client: Client, room: string, options: MembersOptions<S> = {}): Members<S> {
  return new Members(client, room, options);
}
