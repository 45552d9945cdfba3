// A client of one tab: it has no connection of its own.

import { Channel, holdLock } from "./channel.js";
import { Deliveries } from "./deliveries.js";
import { Pending, fromFailure, type Said } from "./pending.js";
import type { Place } from "./place.js";
import { names, type Arrived, type Call, type PlainOptions, type Reply, type ToHub, type ToTab } from "./protocol.js";
import type { Auth, Token, TokenReason } from "../client/auth.js";
import { abortable, type Client, type ClientEvents, type PublishOptions, type RequestOptions } from "../client/client.js";
import { Emitter } from "../client/emitter.js";
import { CloudSignalError } from "../client/error.js";
import type { ClientOptions } from "../client/options.js";
import type { State } from "../client/state.js";
import { onWake } from "../client/wake.js";
import { json, type Codec } from "../messages/codec.js";
import type { Message } from "../messages/message.js";
import type { Outcome } from "../messages/outcome.js";
import { Subscription, type SubscribeOptions } from "../messages/subscription.js";
import { route, type Params } from "../topics/pattern.js";

/** What of the client is for applications. */
export type PublicClient = Pick<
  Client,
  "state" | "clientId" | "options" | "onLeaving" | "on" | "connect" | "suspend" | "close" | "publish" | "request" | "reply" | "subscribe"
>;

interface Wanted {
  readonly subscription: Subscription<any, any>;
  readonly filter: string;
  readonly options: SubscribeOptions<never>;
  /** A hub has it. */
  wasAsked: boolean;
}

const QUEUE_MESSAGES = 10_000;
const QUEUE_BYTES = 16 << 20;

/** From when the client is used until it is closed. */
interface Seat {
  readonly id: string;
  readonly channel: Channel<ToTab, ToHub>;
  readonly common: Channel<Call, Call>;
  /** A hub has let it in. */
  isIn: boolean;
  leave(): void;
}

export class TabClient implements PublicClient {
  readonly #name: string;
  /** @internal What it was made with. */
  readonly options: ClientOptions;
  /** @internal Its will is that of all tabs. */
  readonly isShared = true;
  readonly #options: PlainOptions;
  readonly #auth: Auth | undefined;
  readonly #codec: Codec<any>;
  readonly #place: () => Place;
  readonly #emitter = new Emitter<ClientEvents>();
  readonly #pending: Pending;
  readonly #deliveries = new Deliveries((receipt) => this.#say({ kind: "acknowledge", receipt }));
  readonly #wanted = new Map<number, Wanted>();
  readonly #ending = new Map<number, () => void>();
  readonly #questions = new Map<number, AbortController>();
  #seat: Seat | undefined;
  #isWanting = true;
  #hasClosed = false;
  #state: State = { kind: "idle" };
  #clientId = "";
  #last = 0;

  constructor(name: string, options: ClientOptions, place: () => Place) {
    const { auth, codec, store, ...plain } = options;
    this.#name = name;
    this.options = options;
    this.#options = { ...plain, url: String(options.url) };
    this.#auth = auth;
    this.#codec = codec ?? json();
    this.#place = place;
    this.#pending = new Pending(options.queueMessages ?? QUEUE_MESSAGES, options.queueBytes ?? QUEUE_BYTES);
  }

  get state(): State {
    return this.#state;
  }

  get clientId(): string {
    return this.#clientId || (this.#options.clientId ?? "");
  }

  /** @internal */
  onLeaving(listener: () => void): () => void {
    return this.#emitter.on("leaving", listener);
  }

  on<Name extends "state" | "connected" | "warning">(name: Name, listener: (event: ClientEvents[Name]) => void): () => void {
    return this.#emitter.on(name, listener);
  }

  connect(): void {
    this.#hasClosed = false;
    this.#isWanting = true;
    this.#begin();
    this.#say({ kind: "connect" });
  }

  suspend(): void {
    this.#emitter.emit("leaving", undefined);
    this.#isWanting = false;
    this.#say({ kind: "suspend" });
  }

  close({ forget = false }: { forget?: boolean } = {}): void {
    this.#emitter.emit("leaving", undefined);
    this.#hasClosed = true;
    this.#say({ kind: "close", forget });
    this.#seat?.leave();
    this.#seat = undefined;
    for (const { subscription } of this.#wanted.values()) subscription.finish();
    this.#wanted.clear();
    for (const question of this.#questions.values()) question.abort();
    this.#questions.clear();
    this.#endAll();
    this.#pending.finish();
    this.#setState({ kind: "closed", why: "caller" });
  }

  publish(topic: string, data: unknown, options: PublishOptions = {}): Promise<Outcome> {
    return this.#send<Outcome>("publish", topic, data, options);
  }

  async request<T = unknown>(topic: string, data: unknown, options: RequestOptions<T> = {}): Promise<Message<T>> {
    const answer = await this.#send<Reply>("request", topic, data, options, options.timeoutMs);
    const { payload, ...others } = answer;
    return { ...others, params: {}, data: (options.codec ?? this.#codec).decode(payload) as T, ack: () => {} };
  }

  reply(question: Message, data: unknown, options: PublishOptions = {}): Promise<Outcome> {
    const { responseTopic, correlation } = question.properties;
    if (!responseTopic) return Promise.reject(new CloudSignalError("topic", "the message is no question"));
    return this.publish(responseTopic, data, correlation ? { ...options, correlation } : options);
  }

  #send<T>(kind: "publish" | "request", topic: string, data: unknown, options: RequestOptions<any>, timeoutMs?: number): Promise<T> {
    if (this.#hasClosed) return Promise.reject(new CloudSignalError("closed", "the client is closed"));
    const { codec, signal, timeoutMs: _, ...plain } = options;
    let payload: Uint8Array;
    try {
      // A copy of its own: what the application does to its bytes afterwards is not sent.
      payload = data instanceof Uint8Array && !codec ? data.slice() : (codec ?? this.#codec).encode(data);
    } catch (error) {
      return Promise.reject(error);
    }
    const message = { number: ++this.#last, topic, payload, options: plain };
    const said: Said = kind === "publish" ? { kind, ...message } : { kind, ...message, timeoutMs };
    this.#begin();
    const sent = this.#pending.add<T>(said, this.#seat!.isIn, () => this.#say(said));
    return signal ? abortable(sent, signal) : sent;
  }

  subscribe<const Pattern extends string, T = unknown>(
    pattern: Pattern,
    options: SubscribeOptions<T> = {},
  ): Subscription<T, Params<Pattern>> {
    const { codec = this.#codec as Codec<T>, signal, buffer, ...plain } = options;
    const id = ++this.#last;
    const subscription: Subscription<T, Params<Pattern>> = new Subscription(pattern, route(pattern), codec, options, {
      end: () => this.#unsubscribe(id, subscription),
      warn: (warning) => this.#emitter.emit("warning", warning),
    });
    signal?.addEventListener("abort", () => void subscription.unsubscribe(), { once: true });
    if (signal?.aborted || this.#hasClosed) {
      subscription.finish(signal?.aborted ? undefined : new CloudSignalError("closed", "the client is closed"));
      return subscription;
    }
    const wanted: Wanted = { subscription, filter: subscription.filter, options: plain, wasAsked: false };
    this.#wanted.set(id, wanted);
    this.#begin();
    if (this.#seat!.isIn) this.#subscribe(id, wanted);
    return subscription;
  }

  #subscribe(id: number, wanted: Wanted): void {
    const { filter, options, wasAsked } = wanted;
    this.#say({ kind: "subscribe", id, filter, options, isAgain: wasAsked });
    wanted.wasAsked = true;
  }

  #unsubscribe(id: number, subscription: Subscription<any, any>): Promise<void> {
    subscription.finish();
    this.#deliveries.forget(id);
    if (!this.#wanted.delete(id) || !this.#seat?.isIn) return Promise.resolve();
    this.#say({ kind: "unsubscribe", id });
    return new Promise((resolve) => this.#ending.set(id, resolve));
  }

  /** Nobody will say any more when a subscription has ended. */
  #endAll(): void {
    for (const resolve of this.#ending.values()) resolve();
    this.#ending.clear();
  }

  /** Without a hub nothing is said: the next one is told everything. */
  #say(what: ToHub): void {
    if (this.#seat?.isIn) this.#seat.channel.post(what);
  }

  /** Takes a seat, and holds its lock: the hub knows by it that this tab lives. */
  #begin(): void {
    if (this.#seat) return;
    const id = crypto.randomUUID();
    const all = names(this.#name);
    const channel = new Channel<ToTab, ToHub>(all.tab(id), (said) => this.#hear(seat, said));
    const look = () => common.post({ tab: id });
    const common = new Channel<Call, Call>(all.base, (calls) => calls.some((call) => "hub" in call) && isHeld && look());
    const stopWaking = onWake(() => this.#say({ kind: "wake" }));
    let isHeld = false;
    let release: (() => void) | undefined;
    const leave = () => {
      stopWaking();
      channel.close();
      common.close();
      release?.();
    };
    const seat: Seat = { id, channel, common, isIn: false, leave };
    this.#seat = seat;
    this.#setState({ kind: "connecting" });
    void holdLock(all.tab(id)).then((free) => {
      release = free;
      if (this.#seat !== seat) return free(); // Closed meanwhile.
      isHeld = true;
      look();
      this.#place();
    });
  }

  #hear(seat: Seat, said: readonly ToTab[]): void {
    let messages = 0;
    for (const what of said) {
      if (this.#seat !== seat) return; // Closed by a handler.
      if (what.kind === "message") messages += 1;
      this.#obey(seat, what);
    }
    if (messages > 0) this.#say({ kind: "seen", messages });
  }

  #obey(seat: Seat, what: ToTab): void {
    switch (what.kind) {
      case "welcome":
        return this.#onWelcome(seat, what);
      case "state":
        this.#clientId = what.clientId || this.#clientId;
        return this.#setState(what.state);
      case "connected":
        return this.#emitter.emit("connected", { continuity: what.continuity });
      case "warning":
        return this.#emitter.emit("warning", what.warning);
      case "message":
        return this.#onMessage(what);
      case "acknowledged":
        return this.#deliveries.confirm(what.receipts);
      case "queued":
        return this.#pending.queued(what.number);
      case "outcome":
        this.#pending.settle(what.number, what.outcome);
        return this.#say({ kind: "told", number: what.number });
      case "answer":
        return this.#pending.settle(what.number, what.reply);
      case "failed":
        this.#pending.fail(what.number, what.failure);
        return this.#say({ kind: "told", number: what.number });
      case "granted":
        return this.#wanted.get(what.id)?.subscription.grant(what.qos);
      case "ended":
        this.#wanted.get(what.id)?.subscription.finish(what.failure && fromFailure(what.failure));
        return void this.#wanted.delete(what.id);
      case "unsubscribed":
        this.#ending.get(what.id)?.();
        return void this.#ending.delete(what.id);
      case "ask":
        return void this.#answer(what.question, what.reason, what.previous);
      case "asked enough":
        return this.#questions.get(what.question)?.abort();
    }
  }

  /** A hub, the first one or one that has taken over, is told everything. */
  #onWelcome(seat: Seat, { worker, state, clientId }: ToTab & { kind: "welcome" }): void {
    const isFirst = !seat.isIn;
    seat.isIn = true;
    this.#place().watch(worker);
    this.#endAll();
    this.#deliveries.onHub();
    for (const question of this.#questions.values()) question.abort();
    this.#questions.clear();
    this.#say({ kind: "hello", options: this.#options, hasAuth: this.#auth !== undefined });
    for (const [id, wanted] of this.#wanted) this.#subscribe(id, wanted);
    this.#pending.sayAgain((said) => this.#say(said));
    this.#say({ kind: this.#isWanting ? "connect" : "suspend" });
    this.#clientId = clientId || this.#clientId;
    if (state.kind === "idle") return; // It begins with what it was told.
    this.#setState(state);
    // Whatever this tab has missed was before it was there.
    if (isFirst && state.kind === "connected") this.#emitter.emit("connected", { continuity: "new" });
  }

  #onMessage(message: Arrived): void {
    const subscription = this.#wanted.get(message.id)?.subscription;
    const { topic, bits: flags, payload, properties, receipt } = message;
    if (!subscription) return receipt ? this.#say({ kind: "acknowledge", receipt }) : undefined;
    const delivery = receipt ? this.#deliveries.take(message) : undefined;
    if (receipt && !delivery) return; // It came through an earlier hub.
    subscription.offer({ flags, delivery: receipt, topic, receivers: [], payload, properties }, delivery);
  }

  /** The hub asks for a token. */
  async #answer(question: number, reason: TokenReason, previous: Token | undefined): Promise<void> {
    const abort = new AbortController();
    this.#questions.set(question, abort);
    let token: Token | null | undefined;
    try {
      token = (await this.#auth?.({ reason, signal: abort.signal, previous })) ?? null;
    } catch (error) {
      this.#emitter.emit("warning", { kind: "thrown", error });
    }
    if (this.#questions.get(question) !== abort) return; // Of a hub that is gone.
    this.#questions.delete(question);
    if (!abort.signal.aborted) this.#say({ kind: "token", question, token });
  }

  #setState(state: State): void {
    this.#state = state;
    this.#emitter.emit("state", state);
  }
}
