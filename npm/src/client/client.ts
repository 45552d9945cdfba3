import { Authenticator } from "./auth.js";
import { Emitter } from "./emitter.js";
import { CloudSignalError, refusal } from "./error.js";
import { encodeOptions, type ClientOptions } from "./options.js";
import { continuity, state, warning, type Continuity, type State, type Warning } from "./state.js";
import { onWake } from "./wake.js";
import { json, type Codec } from "../messages/codec.js";
import type { Message, Qos } from "../messages/message.js";
import { outcome, Outcomes, type Outcome } from "../messages/outcome.js";
import { writeProperties, type Properties } from "../messages/properties.js";
import { Questions } from "../messages/questions.js";
import { Receivers, type Reader } from "../messages/receivers.js";
import { Subscription, type SubscribeOptions } from "../messages/subscription.js";
import { route, type Params } from "../topics/pattern.js";
import type { Event, RawMessage } from "../wire/events.js";
import { decode, encode } from "../wire/fields.js";
import * as at from "../wire/layout.js";
import { Machine, type MachineHandler } from "../wire/machine.js";
import type { ModuleLoader } from "../wire/module.js";
import { Transport, type Dialer } from "../wire/transport.js";

/** How to publish. */
export interface PublishOptions extends Properties {
  /** Default: 1. */
  qos?: Qos;
  /** Whether the server keeps it for later subscribers. Default: false. */
  retain?: boolean;
  /** How data is written. Default: the client's codec; bytes are sent as they are. */
  codec?: Codec<any>;
  /** Stops the waiting for the outcome. What was published stays published. */
  signal?: AbortSignal;
}

/** How to ask. QoS is at least 1; where to answer, and how to know the answer, is said by the client. */
export interface RequestOptions<T> extends PublishOptions {
  /** How long an answer is awaited, milliseconds; nobody hears the question later. Default: 10 000. */
  timeoutMs?: number;
  /** How the question is written and the answer is read. Default: the client's. */
  codec?: Codec<T>;
}

/** What a client tells. */
export interface ClientEvents extends Record<string, unknown> {
  /** It does something else now. */
  state: State;
  /** The server has accepted it. */
  connected: { readonly continuity: Continuity };
  /** Something to write into a log. */
  warning: Warning;
}

/** @internal What an entry of the package brings. */
export interface Platform {
  readonly load: ModuleLoader;
  readonly dial: Dialer;
}

/** QoS 0 is refused while so much waits in the socket, bytes. */
const UNSENT_BYTES_MAX = 16 << 20;
/** So long an answer is awaited, unless something else is said. */
const REQUEST_MILLIS = 10_000;
/** So many topics are kept encoded. */
const TOPICS_MAX = 1024;

/** A client. It does nothing until it is used. */
export class Client {
  readonly #options: ClientOptions;
  readonly #platform: Platform;
  readonly #emitter = new Emitter<ClientEvents>();
  /** @internal */
  readonly outcomes = new Outcomes();
  readonly #questions = new Questions();
  readonly #transport: Transport;
  readonly #receivers = new Receivers((delivery) => this.#machine?.acknowledge(delivery));
  readonly #authenticator: Authenticator | undefined;
  readonly #codec: Codec<any>;
  readonly #topics = new Map<string, Uint8Array>();
  /** What each filter was asked for with: a second reader must not take from the first. */
  readonly #granted = new Map<string, Qos>();
  #machine: Machine | undefined;
  /** What was called before the machine was there, in its order. */
  #early: ((machine: Machine | CloudSignalError) => void)[] | undefined;
  #state: State = { kind: "idle" };
  #stopWaking: (() => void) | undefined;

  /** @internal */
  constructor(options: ClientOptions, platform: Platform) {
    this.#options = options;
    this.#platform = platform;
    this.#transport = new Transport(platform.dial, String(options.url));
    this.#codec = options.codec ?? json();
    if (options.auth) {
      this.#authenticator = new Authenticator(options.auth, (error) => this.#warn({ kind: "thrown", error }));
    }
  }

  /** What it is doing. */
  get state(): State {
    return this.#state;
  }

  /** Its client identifier; empty until it is used. */
  get clientId(): string {
    return this.#machine?.clientId ?? this.#options.clientId ?? "";
  }

  /** @internal What it was made with. */
  get options(): ClientOptions {
    return this.#options;
  }

  /** @internal Calls back while something can still be published before it says goodbye. Answers how to stop. */
  onLeaving(listener: () => void): () => void {
    return this.#emitter.on("leaving", listener);
  }

  /** Listens. Answers how to stop. */
  on<Name extends "state" | "connected" | "warning">(
    name: Name,
    listener: (event: ClientEvents[Name]) => void,
  ): () => void {
    return this.#emitter.on(name, listener);
  }

  /** Connects, and stays connected. Everything else connects by itself; after `suspend` and `close` only this does. */
  connect(): void {
    this.use((machine) => {
      if (machine instanceof Machine) machine.connect();
    });
  }

  /** Disconnects; the session stays, and `connect` goes on with it. */
  suspend(): void {
    this.#emitter.emit("leaving", undefined);
    if (this.#isUsed) this.use((machine) => machine instanceof Machine && machine.suspend());
  }

  /** Disconnects for good. With `forget` the server forgets the session, too. Subscriptions end. */
  close({ forget = false }: { forget?: boolean } = {}): void {
    this.#emitter.emit("leaving", undefined);
    this.#authenticator?.end();
    this.#stopWaking?.();
    this.#stopWaking = undefined;
    if (this.#isUsed) this.use((machine) => machine instanceof Machine && machine.close(forget));
    else this.#setState({ kind: "closed", why: "caller" });
    this.#receivers.finish();
  }

  /** Publishes. Rejected when the message is not accepted at all; otherwise what became of it. */
  publish(topic: string, data: unknown, options: PublishOptions = {}): Promise<Outcome> {
    return this.#send(topic, data, options, 0, (answer) => this.outcomes.expect(answer));
  }

  /**
   * Asks whoever listens there, and gives the answer. Rejected with `timeout`, or at once with `nobody` where nobody
   * listens. MQTT 5 only; 1 000 questions may be open.
   */
  request<T = unknown>(topic: string, data: unknown, options: RequestOptions<T> = {}): Promise<Message<T>> {
    const codec = options.codec ?? this.#codec;
    return this.#send(topic, data, options, options.timeoutMs ?? REQUEST_MILLIS, (answer) => this.#questions.expect(answer, codec));
  }

  /** Answers a question that has arrived, as a publication of its own. */
  reply(question: Message, data: unknown, options: PublishOptions = {}): Promise<Outcome> {
    const { responseTopic, correlation } = question.properties;
    if (!responseTopic) return Promise.reject(refusal(at.REFUSED_TOPIC));
    return this.publish(responseTopic, data, correlation ? { ...options, correlation } : options);
  }

  /**
   * Gives up a message of QoS 1 that a warning has called stuck: it is `indeterminate` then, and what waits behind it goes
   * on. Answers whether it was there, and not on its way just now: where there is no connection it never is.
   */
  giveUp(message: number): boolean {
    return this.#machine?.giveUp(message) === 1;
  }

  /** `wait` gives what becomes of the machine's answer. */
  #send<T>(topic: string, data: unknown, options: PublishOptions, patience: number, wait: (answer: number) => Promise<T>): Promise<T> {
    const qos = options.qos ?? 1;
    let payload: Uint8Array;
    try {
      payload = data instanceof Uint8Array && !options.codec ? data : (options.codec ?? this.#codec).encode(data);
    } catch (error) {
      return Promise.reject(error);
    }
    const flags = qos | (options.retain ? at.RETAIN : 0);
    const properties = writeProperties(options);
    const send = (machine: Machine): Promise<T> => {
      const isFull = qos === 0 && this.#transport.unsent > UNSENT_BYTES_MAX;
      return wait(isFull ? at.REFUSED_FULL : machine.publish(this.#encoded(topic), payload, properties, flags, patience));
    };
    const sent = this.#machine ? send(this.#machine) : this.#promise(send);
    return options.signal ? abortable(sent, options.signal) : sent;
  }

  /** Subscribes. Messages wait in the subscription until they are read, whenever that begins. */
  subscribe<const Pattern extends string, T = unknown>(
    pattern: Pattern,
    options: SubscribeOptions<T> = {},
  ): Subscription<T, Params<Pattern>> {
    const codec = options.codec ?? (this.#codec as Codec<T>);
    const subscription = new Subscription<T, Params<Pattern>>(pattern, route(pattern), codec, options, {
      end: (ended) => this.dismiss(ended),
      warn: (warning) => this.#warn(warning),
    });
    options.signal?.addEventListener("abort", () => void subscription.unsubscribe(), { once: true });
    if (options.signal?.aborted) subscription.finish();
    else this.use((machine) => this.admit(machine, subscription, options));
    return subscription;
  }

  /** @internal A reader wants the messages of its filter. */
  admit(machine: Machine | CloudSignalError, subscription: Reader, options: SubscribeOptions<any>): void {
    if (!(machine instanceof Machine)) return subscription.finish(machine);
    const qos = Math.max(options.qos ?? 1, this.#granted.get(subscription.filter) ?? 0) as Qos;
    const retained = { always: 0, if_new: 1, never: 2 }[options.retained ?? "always"];
    const flags =
      qos |
      (options.noLocal ? at.NO_LOCAL : 0) |
      (options.retainAsPublished ? at.RETAIN_AS_PUBLISHED : 0) |
      (retained << at.RETAIN_HANDLING_SHIFT);
    const answer = machine.subscribe(subscription.filter, flags);
    if (answer < 0) return subscription.finish(refusal(answer));
    this.#granted.set(subscription.filter, qos);
    this.#receivers.add(answer, subscription);
  }

  /** @internal A reader wants no more. */
  dismiss(subscription: Reader): Promise<void> {
    subscription.finish();
    return this.#promise((machine) => {
      const id = this.#receivers.remove(subscription);
      if (id === undefined) return Promise.resolve();
      this.#granted.delete(subscription.filter);
      const ending = this.#receivers.ending(id);
      machine.unsubscribe(id);
      return ending;
    });
  }

  get #isUsed(): boolean {
    return this.#machine !== undefined || this.#early !== undefined;
  }

  #encoded(topic: string): Uint8Array {
    let bytes = this.#topics.get(topic);
    if (!bytes) {
      bytes = encode(topic);
      if (this.#topics.size >= TOPICS_MAX) this.#topics.clear();
      this.#topics.set(topic, bytes);
    }
    return bytes;
  }

  #promise<T>(what: (machine: Machine) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.use((machine) => {
        if (machine instanceof Machine) what(machine).then(resolve, reject);
        else reject(machine);
      });
    });
  }

  /** @internal Calls with the machine, now or as soon as it is there, or with why there will be none. */
  use(what: (machine: Machine | CloudSignalError) => void): void {
    if (this.#machine) return what(this.#machine);
    if (this.#early) return void this.#early.push(what);
    this.#early = [what];
    void this.#start();
  }

  /** The module, the first token and everything else begin together. */
  async #start(): Promise<void> {
    this.#setState({ kind: "connecting" });
    this.#authenticator?.begin();
    let machine: Machine | CloudSignalError;
    try {
      const { store } = this.#options;
      const reading = store?.load();
      machine = await Machine.open(this.#platform.load, encodeOptions(this.#options), this.#handler);
      await reading;
      this.#machine = machine;
      store?.attach(machine);
      this.#stopWaking = onWake(() => this.#machine?.wake());
      machine.connect();
    } catch (error) {
      machine = new CloudSignalError("fault", `the client cannot start: ${error}`);
      this.#setState({ kind: "closed", why: "fault" });
    }
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const what of early) what(machine);
  }

  readonly #handler: MachineHandler = {
    onMessage: (message: RawMessage) => {
      if (message.flags & at.REPLY) this.#questions.answer(message);
      else this.#receivers.onMessage(message);
    },
    onEvent: (event: Event) => this.#onEvent(event),
    onFault: () => {
      const error = new CloudSignalError("fault", "the client has ended by a fault of the library");
      this.#transport.hangUpAll();
      this.#stopWaking?.();
      this.#setState({ kind: "closed", why: "fault" });
      this.#receivers.finish(error);
    },
  };

  #onEvent(event: Event): void {
    const { kind, detail, code, number, body } = event;
    const machine = this.#machine!;
    switch (kind) {
      case at.SEND:
        return this.#transport.send(number, body);
      case at.PUBLISHED:
        return this.outcomes.settle(number, outcome(detail, code));
      case at.REQUEST_FAILED:
        return this.#questions.fail(number, detail, code);
      case at.STORED:
        return this.outcomes.stored(number, this.#state.kind === "connected");
      case at.PUT:
      case at.DELETE:
      case at.SYNC:
        return this.#options.store?.onEvent(event);
      case at.DIAL:
        return void this.#transport.open(machine, number, detail === 1 ? decode(body) : "");
      case at.HANGUP:
        return this.#transport.hangUp(number);
      case at.ASK_TOKEN:
        return void this.#authenticator?.answer(machine, number, detail);
      case at.STATE:
        return this.#setState(state(detail, code, number));
      case at.CONNECTED:
        return this.#emitter.emit("connected", { continuity: continuity(detail) });
      case at.SUBSCRIBED:
        return this.#receivers.onGranted(number, detail as Qos);
      case at.SUBSCRIBE_REFUSED:
        return this.#receivers.onRefused(number, code);
      case at.UNSUBSCRIBED:
        return this.#receivers.onUnsubscribed(number);
      case at.WARNING:
        return this.#onWarning(warning(detail, number));
    }
  }

  #onWarning(warning: Warning): void {
    if (warning.kind === "unclaimed") this.#receivers.onUnclaimed(warning.subscription);
    this.#warn(warning);
  }

  #warn(warning: Warning): void {
    this.#emitter.emit("warning", warning);
  }

  #setState(next: State): void {
    this.#state = next;
    if (next.kind === "closed") {
      const { why, reason } = next;
      const isFinal = why === "caller" || why === "fault";
      this.outcomes.finish(isFinal ? undefined : (isKept) => new CloudSignalError("closed", `the client was closed: ${why}`, reason, isKept));
      if (why === "fault") this.#questions.finish();
    }
    this.#emitter.emit("state", next);
  }
}

/** @internal Waits no longer than the signal lets it. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
