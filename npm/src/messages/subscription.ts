import { CloudSignalError } from "../client/error.js";
import type { Warning } from "../client/state.js";
import type { Codec } from "./codec.js";
import { Inbox } from "./inbox.js";
import type { Delivery, Message, Qos } from "./message.js";
import { readProperties } from "./properties.js";
import type { Route } from "../topics/pattern.js";
import type { RawMessage } from "../wire/events.js";
import { DUP, QOS, RETAIN } from "../wire/layout.js";

/** How to subscribe. */
export interface SubscribeOptions<T> {
  /** The highest QoS that is wanted. Default: 1. */
  qos?: Qos;
  /** How payloads are read. Default: the client's. */
  codec?: Codec<T>;
  /** Ends the subscription when it is aborted. */
  signal?: AbortSignal;
  /** How many QoS 0 messages may wait for the reader; the oldest goes first. Default: 1 000. */
  buffer?: number;
  /** Not what this client publishes itself. MQTT 5 only. Default: false. */
  noLocal?: boolean;
  /** Keep the retain flag as it was published. MQTT 5 only. Default: false. */
  retainAsPublished?: boolean;
  /** Which retained messages come first. MQTT 5 only. Default: always. */
  retained?: "always" | "if_new" | "never";
}

const BUFFER_MESSAGES = 1000;
const PARAMS_NONE = Object.freeze({});
const EMPTY = Object.freeze({});

/** What a subscription asks of its client. */
export interface SubscriptionOwner {
  end(subscription: Subscription<any, any>): Promise<void>;
  warn(warning: Warning): void;
}

/** @internal A message as the application sees it. */
export class Received<T, P> implements Message<T, P> {
  #delivery: Delivery | undefined;

  constructor(
    raw: RawMessage,
    delivery: Delivery | undefined,
    readonly params: P,
    readonly data: T,
  ) {
    this.#delivery = delivery;
    this.topic = raw.topic;
    this.qos = (raw.flags & QOS) as Qos;
    this.retain = (raw.flags & RETAIN) !== 0;
    this.dup = (raw.flags & DUP) !== 0;
    this.properties = raw.properties.length > 0 ? readProperties(raw.properties) : EMPTY;
  }

  readonly topic;
  readonly qos;
  readonly retain;
  readonly dup;
  readonly properties;

  ack(): void {
    const delivery = this.#delivery;
    this.#delivery = undefined;
    delivery?.settle();
  }
}

type Handler<T, P> = (message: Message<T, P>) => unknown;

/**
 * Messages of one pattern. It has one reader: a `for await` loop, or the handler given to `on`. Each message is
 * acknowledged when the reader takes the next one, or when the handler (and the promise that it returns) is through.
 */
export class Subscription<T = unknown, P = Record<string, string>> implements AsyncIterable<Message<T, P>> {
  /** The pattern that it was made with. */
  readonly pattern: string;
  /** The topic filter of the pattern. */
  readonly filter: string;
  /** The QoS that the server has granted; rejected when it refuses. */
  readonly ready: Promise<Qos>;
  /** How many QoS 0 messages had to go because the reader was too slow. */
  dropped = 0;

  readonly #route: Route;
  readonly #codec: Codec<T>;
  readonly #owner: SubscriptionOwner;
  readonly #inbox: Inbox<Received<T, P>>;
  #granted!: (qos: Qos) => void;
  #refused!: (error: Error) => void;
  #handler: Handler<T, P> | undefined;
  #isHandling = false;
  /** Wakes the loop that waits for a message. */
  #wake: (() => void) | undefined;
  #hasEnded = false;
  #error: Error | undefined;

  /** @internal */
  constructor(pattern: string, route: Route, codec: Codec<T>, options: SubscribeOptions<T>, owner: SubscriptionOwner) {
    this.pattern = pattern;
    this.filter = route.filter;
    this.#route = route;
    this.#codec = codec;
    this.#owner = owner;
    this.#inbox = new Inbox(options.buffer ?? BUFFER_MESSAGES);
    this.ready = new Promise((resolve, reject) => {
      this.#granted = resolve;
      this.#refused = reject;
    });
    this.ready.catch(() => {}); // Whoever reads messages is told there, too.
  }

  /** Hands every message to a handler. Answers how to stop; what comes then waits for the next reader. */
  on(handler: (message: Message<T, P>) => unknown): () => void {
    if (this.#handler) throw new TypeError("a subscription has one reader");
    this.#handler = handler;
    void this.#drain();
    return () => {
      if (this.#handler === handler) this.#handler = undefined;
    };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message<T, P>, void, undefined> {
    for (;;) {
      const message = this.#inbox.take();
      if (message) {
        try {
          yield message;
        } finally {
          message.ack();
        }
      } else if (this.#error) {
        throw this.#error;
      } else if (this.#hasEnded) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }

  /** Ends it. Resolved when the server has heard, or will not hear any more. */
  unsubscribe(): Promise<void> {
    return this.#owner.end(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unsubscribe();
  }

  /** @internal A message of the server. */
  offer(raw: RawMessage, delivery: Delivery | undefined): void {
    let message: Received<T, P>;
    try {
      const params = (this.#route.params(raw.topic) ?? PARAMS_NONE) as P;
      message = new Received(raw, delivery, params, this.#codec.decode(raw.payload));
    } catch (error) {
      delivery?.settle();
      this.#owner.warn({ kind: "undecodable", topic: raw.topic, error });
      return;
    }
    if (this.#handler && !this.#isHandling) {
      void this.#handle(message);
      return;
    }
    const dropped = this.#inbox.put(message);
    if (dropped > 0) {
      this.dropped += dropped;
      this.#owner.warn({ kind: "dropped", pattern: this.pattern, messages: dropped });
    }
    this.#stir();
  }

  /** @internal */
  grant(qos: Qos): void {
    this.#granted(qos);
  }

  /** @internal No message follows. What waits for a reader is let go. */
  finish(error?: CloudSignalError): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#error = error;
    this.#refused(error ?? new CloudSignalError("closed", "the subscription has ended"));
    for (let message = this.#inbox.take(); message; message = this.#inbox.take()) message.ack();
    this.#stir();
  }

  #stir(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Gives the handler what has waited, one after another. */
  async #drain(): Promise<void> {
    while (this.#handler && !this.#isHandling) {
      const message = this.#inbox.take();
      if (!message) return;
      await this.#handle(message);
    }
  }

  #handle(message: Received<T, P>): Promise<void> | undefined {
    try {
      const through = this.#handler!(message);
      if (through instanceof Promise) return this.#await(through, message);
    } catch (error) {
      this.#owner.warn({ kind: "thrown", error });
    }
    message.ack();
    return undefined;
  }

  async #await(through: Promise<unknown>, message: Received<T, P>): Promise<void> {
    this.#isHandling = true;
    try {
      await through;
    } catch (error) {
      this.#owner.warn({ kind: "thrown", error });
    }
    this.#isHandling = false;
    message.ack();
    void this.#drain();
  }
}
