// The one client of all tabs. It runs in a shared worker, or in one of the tabs.

import { Channel } from "./channel.js";
import { MarkingStore, type Name } from "./marks.js";
import { names, type Call, type PlainOptions, type ToHub } from "./protocol.js";
import { Seat, SeatReader, failure } from "./seat.js";
import { TokenDesk } from "./tokens.js";
import { Client, type Platform } from "../client/client.js";
import type { Warning } from "../client/state.js";
import { binary } from "../messages/codec.js";
import type { Delivery } from "../messages/message.js";
import type { Outcome } from "../messages/outcome.js";
import { IndexedDbShelf } from "../store/indexeddb.js";
import { Machine } from "../wire/machine.js";

/** Becomes the hub as soon as no other one lives, and stays it until this place, a page or that worker, is gone. */
export function runHub(name: string, platform: Platform, worker: string | undefined): void {
  void navigator.locks.request(names(name).hub, () => {
    new Hub(name, platform, worker);
    return new Promise<never>(() => {});
  });
}

/** A client and its store, from the first tab until the last one leaves. */
interface Core {
  readonly client: Client;
  readonly store: MarkingStore;
  /** What becomes of publications that an earlier hub has accepted. */
  readonly left: Map<Name, { readonly isOpen: boolean; readonly outcome: Promise<Outcome> }>;
}

interface Unconfirmed {
  readonly seat: Seat;
  readonly name: number;
  readonly delivery: Delivery;
}

class Hub {
  readonly #names: ReturnType<typeof names>;
  readonly #platform: Platform;
  readonly #worker: string | undefined;
  readonly #seats = new Map<string, Seat>();
  readonly #tokens = new TokenDesk();
  #core: Core | undefined;
  /** What tabs are done with and do not know to be safe. What may be unacknowledged bounds them. */
  #unconfirmed: Unconfirmed[] = [];
  /** The store of the client before this one has written everything. */
  #written: Promise<void> = Promise.resolve();

  constructor(name: string, platform: Platform, worker: string | undefined) {
    this.#worker = worker;
    this.#names = names(name);
    this.#platform = platform;
    const common = new Channel<Call, Call>(this.#names.base, (calls) => {
      for (const call of calls) if ("tab" in call) this.#admit(call.tab);
    });
    common.post({ hub: crypto.randomUUID() });
  }

  #admit(id: string): void {
    if (this.#seats.has(id)) return;
    const seat = new Seat(id, this.#names.tab(id), (seat, said) => this.#receive(seat, said));
    this.#seats.set(id, seat);
    // A tab holds its lock for as long as it lives.
    void navigator.locks.request(this.#names.tab(id), () => this.#leave(seat, false));
    const client = this.#core?.client;
    seat.post({ kind: "welcome", worker: this.#worker, clientId: client?.clientId ?? "", state: client?.state ?? { kind: "idle" } });
  }

  #leave(seat: Seat, forget: boolean): void {
    if (!this.#seats.delete(seat.id)) return;
    const { client, store } = this.#core ?? {};
    const isLast = this.#seats.size === 0;
    // What the last one has not acknowledged is for the next one, as when a page is loaded again.
    seat.leave(!isLast);
    this.#tokens.remove(seat);
    if (!client || !store) return;
    for (const reader of seat.readers.values()) {
      reader.isOver = true;
      if (!isLast) void client.dismiss(reader);
    }
    store.forgetTab(seat.id);
    this.#unconfirmed = this.#unconfirmed.filter((it) => it.seat !== seat);
    if (!isLast) return this.#rest(client);
    this.#core = undefined;
    client.close({ forget });
    this.#written = new Promise((resolve) => client.use(() => void store.settled().then(resolve)));
  }

  /** Disconnects when nobody wants the connection. */
  #rest(client: Client): void {
    if ([...this.#seats.values()].every((seat) => !seat.isWanting)) client.suspend();
  }

  /** The first tab says what the client is like. */
  #begin(options: PlainOptions, hasAuth: boolean): Core {
    const { base } = this.#names;
    const shelf = new IndexedDbShelf(base, () => this.#written.then(() => base)); // The hub's lock keeps others away.
    const store = new MarkingStore(shelf);
    const auth = hasAuth ? { auth: (request: Parameters<TokenDesk["ask"]>[0]) => this.#tokens.ask(request) } : {};
    const client = new Client({ ...options, ...auth, store }, this.#platform);
    const core: Core = { client, store, left: new Map() };
    const tell = (what: Parameters<Seat["post"]>[0]) => {
      for (const seat of this.#seats.values()) seat.post(what);
    };
    client.on("state", (state) => tell({ kind: "state", clientId: client.clientId, state }));
    client.on("connected", ({ continuity }) => tell({ kind: "connected", continuity }));
    client.on("warning", (warning: Warning) => {
      if (warning.kind !== "thrown") tell({ kind: "warning", warning }); // That, the tab has told that threw.
    });
    client.use(() => this.#takeOver(core));
    return core;
  }

  /** What an earlier hub has left: publications of tabs that still live, and of some that do not. */
  #takeOver({ client, store, left }: Core): void {
    for (const [name, { order, isOpen }] of store.left) {
      const outcome: Promise<Outcome> = isOpen ? client.outcomes.expect(order, true) : Promise.resolve({ kind: "indeterminate" });
      outcome.catch(() => {}); // Its tab is told, if it asks.
      left.set(name, { isOpen, outcome });
    }
    for (const tab of store.tabs) {
      if (this.#seats.has(tab)) continue;
      void navigator.locks.request(this.#names.tab(tab), { ifAvailable: true }, (lock) => lock && store.forgetTab(tab));
    }
  }

  #receive(seat: Seat, said: readonly ToHub[]): void {
    for (const what of said) {
      if (what.kind === "hello") {
        seat.isGreeted = true;
        this.#core ??= this.#begin(what.options, what.hasAuth);
        if (what.hasAuth) this.#tokens.add(seat);
      } else if (this.#core && seat.isGreeted) {
        const core = this.#core;
        core.client.use((machine) => this.#obey(seat, what, core, machine));
      }
    }
    this.#confirm();
  }

  /** Tells tabs which acknowledgements survive the hub: those of messages that all tabs are done with, once stored. */
  #confirm(): void {
    const isDone = ({ delivery }: Unconfirmed) => delivery.waiting === 0;
    const done = this.#unconfirmed.filter(isDone);
    if (done.length === 0) return;
    this.#unconfirmed = this.#unconfirmed.filter((it) => !isDone(it));
    void this.#core?.store.settled().then(() => {
      const bySeat = new Map<Seat, number[]>();
      for (const { seat, name } of done) bySeat.set(seat, [...(bySeat.get(seat) ?? []), name]);
      for (const [seat, receipts] of bySeat) seat.post({ kind: "acknowledged", receipts });
    });
  }

  #acknowledge(seat: Seat, name: number): void {
    const delivery = seat.acknowledge(name);
    if (delivery) this.#unconfirmed.push({ seat, name, delivery });
  }

  #obey(seat: Seat, what: Exclude<ToHub, { kind: "hello" }>, core: Core, machine: Machine | Error): void {
    if (this.#seats.get(seat.id) !== seat) return; // It has left meanwhile.
    const { client, store } = core;
    switch (what.kind) {
      case "publish":
        return this.#publish(seat, what, core);
      case "request":
        return this.#request(seat, what, client);
      case "subscribe":
        return this.#subscribe(seat, what, client, machine);
      case "unsubscribe":
        return this.#unsubscribe(seat, what.id, client);
      case "acknowledge":
        return this.#acknowledge(seat, what.receipt);
      case "seen":
        return seat.seen(what.messages);
      case "told":
        return store.forget(`${seat.id} ${what.number}`);
      case "token":
        return this.#tokens.answer(what.question, what.token);
      case "wake":
        return void (machine instanceof Machine && machine.wake());
      case "connect":
        seat.isWanting = true;
        return client.connect();
      case "suspend":
        seat.isWanting = false;
        return this.#rest(client);
      case "close":
        return this.#leave(seat, what.forget);
    }
  }

  #publish(seat: Seat, { number, topic, payload, options }: ToHub & { kind: "publish" }, { client, store, left }: Core): void {
    if (number <= seat.handled) return;
    seat.handled = number;
    const name: Name = `${seat.id} ${number}`;
    const known = left.get(name);
    left.delete(name);
    if (known?.isOpen) seat.post({ kind: "queued", number });
    const outcome = known?.outcome ?? store.marking(name, () => client.publish(topic, payload, options));
    this.#report(seat, number, outcome);
  }

  #report(seat: Seat, number: number, outcome: Promise<Outcome>): void {
    outcome.then(
      (outcome) => {
        if (outcome.kind !== "queued") return seat.post({ kind: "outcome", number, outcome });
        seat.post({ kind: "queued", number });
        this.#report(seat, number, outcome.done);
      },
      (error: unknown) => seat.post({ kind: "failed", number, failure: failure(error) }),
    );
  }

  #request(seat: Seat, { number, topic, payload, options, timeoutMs }: ToHub & { kind: "request" }, client: Client): void {
    if (number <= seat.handled) return;
    seat.handled = number;
    const patience = timeoutMs === undefined ? {} : { timeoutMs };
    client.request<Uint8Array>(topic, payload, { ...options, ...patience, codec: binary }).then(
      ({ topic, data, qos, retain, dup, properties }) =>
        seat.post({ kind: "answer", number, reply: { topic, payload: data, qos, retain, dup, properties } }),
      (error: unknown) => seat.post({ kind: "failed", number, failure: failure(error) }),
    );
  }

  #subscribe(seat: Seat, { id, filter, options, isAgain }: ToHub & { kind: "subscribe" }, client: Client, machine: Machine | Error): void {
    if (seat.readers.has(id)) return;
    const reader = new SeatReader(filter, seat, id);
    seat.readers.set(id, reader);
    // It has had the retained messages, unless the session is lost.
    client.admit(machine as Parameters<Client["admit"]>[0], reader, isAgain && options.retained !== "never" ? { ...options, retained: "if_new" } : options);
  }

  #unsubscribe(seat: Seat, id: number, client: Client): void {
    const reader = seat.readers.get(id);
    if (!reader) return;
    seat.readers.delete(id);
    reader.isOver = true;
    void client.dismiss(reader).then(() => seat.post({ kind: "unsubscribed", id }));
  }
}
