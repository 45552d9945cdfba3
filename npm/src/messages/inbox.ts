import type { Message } from "./message.js";

/**
 * Messages that wait for their reader. Those of QoS 1 and 2 are bounded by what the server may send unacknowledged;
 * of those of QoS 0 the oldest goes when there are too many.
 */
export class Inbox<M extends Message<unknown, unknown>> {
  #messages: M[] = [];
  #first = 0;
  #unreliable = 0;
  readonly #unreliableMax: number;

  constructor(unreliableMax: number) {
    this.#unreliableMax = unreliableMax;
  }

  /** Answers how many had to go. */
  put(message: M): number {
    let dropped = 0;
    if (message.qos === 0) {
      if (this.#unreliable >= this.#unreliableMax) dropped = this.#dropOldest();
      this.#unreliable += 1;
    }
    this.#messages.push(message);
    return dropped;
  }

  take(): M | undefined {
    const message = this.#messages[this.#first];
    if (!message) return undefined;
    this.#first += 1;
    if (this.#first === this.#messages.length) {
      this.#messages = [];
      this.#first = 0;
    } else if (this.#first >= COMPACT_AT) {
      this.#messages.splice(0, this.#first);
      this.#first = 0;
    }
    if (message.qos === 0) this.#unreliable -= 1;
    return message;
  }

  #dropOldest(): number {
    const at = this.#messages.findIndex((message, index) => index >= this.#first && message.qos === 0);
    if (at < 0) return 0;
    this.#messages.splice(at, 1);
    this.#unreliable -= 1;
    return 1;
  }
}

/** So many taken messages are forgotten together. */
const COMPACT_AT = 256;
