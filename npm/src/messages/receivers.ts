import { CloudSignalError } from "../client/error.js";
import { Delivery, type Qos } from "./message.js";
import type { RawMessage } from "../wire/events.js";

/** Somebody who reads a topic filter. */
export interface Reader {
  readonly filter: string;
  /** A message, and to whom it is said that it is dealt with. */
  offer(message: RawMessage, delivery: Delivery | undefined): void;
  /** The server has agreed. */
  grant(qos: Qos): void;
  /** No message follows. */
  finish(error?: CloudSignalError): void;
}

/** Everybody who reads one topic filter. */
interface Line {
  readonly id: number;
  readonly readers: Set<Reader>;
}

/** Which subscription gets which message. */
export class Receivers {
  readonly #lines = new Map<number, Line>();
  readonly #ending = new Map<number, (() => void)[]>();
  /** Messages for subscriptions of an earlier page, by subscription. What may be unacknowledged bounds them. */
  readonly #held = new Map<number, [RawMessage, Delivery][]>();
  readonly #acknowledge: (delivery: number) => void;

  constructor(acknowledge: (delivery: number) => void) {
    this.#acknowledge = acknowledge;
  }

  /** A reader of a subscription that the machine has named. */
  add(id: number, reader: Reader): void {
    let line = this.#lines.get(id);
    if (!line) this.#lines.set(id, (line = { id, readers: new Set() }));
    line.readers.add(reader);
    this.#ended(id);
    const held = this.#held.get(id) ?? [];
    this.#held.delete(id);
    for (const [message, delivery] of held) reader.offer(message, delivery);
  }

  /** Answers the subscription if nobody reads it any more. */
  remove(reader: Reader): number | undefined {
    for (const line of this.#lines.values()) {
      if (!line.readers.delete(reader)) continue;
      if (line.readers.size > 0) return undefined;
      this.#lines.delete(line.id);
      return line.id;
    }
    return undefined;
  }

  /** Resolved when the subscription has ended, or is wanted again. */
  ending(id: number): Promise<void> {
    return new Promise((resolve) => {
      this.#ending.set(id, [...(this.#ending.get(id) ?? []), resolve]);
    });
  }

  onUnsubscribed(id: number): void {
    this.#ended(id);
  }

  #ended(id: number): void {
    for (const resolve of this.#ending.get(id) ?? []) resolve();
    this.#ending.delete(id);
  }

  onMessage(message: RawMessage): void {
    const { delivery: name, receivers } = message;
    const needsWord = name !== 0;
    let count = 0;
    for (const id of receivers) count += this.#lines.get(id)?.readers.size ?? (needsWord ? 1 : 0);
    if (count === 0) {
      if (needsWord) this.#acknowledge(name);
      return;
    }
    const delivery = needsWord ? new Delivery(count, () => this.#acknowledge(name)) : undefined;
    for (const id of receivers) {
      const line = this.#lines.get(id);
      if (line) for (const reader of line.readers) reader.offer(message, delivery);
      else if (delivery) this.#hold(id, message, delivery);
    }
  }

  #hold(id: number, message: RawMessage, delivery: Delivery): void {
    const held = this.#held.get(id);
    if (held) held.push([message, delivery]);
    else this.#held.set(id, [[message, delivery]]);
  }

  /** Nobody has asked for a subscription of an earlier page. */
  onUnclaimed(id: number): void {
    for (const [, delivery] of this.#held.get(id) ?? []) delivery.settle();
    this.#held.delete(id);
  }

  onGranted(id: number, qos: Qos): void {
    for (const reader of this.#lines.get(id)?.readers ?? []) reader.grant(qos);
  }

  onRefused(id: number, reason: number): void {
    const error = new CloudSignalError("refused", "the server has refused the subscription", reason);
    for (const reader of this.#lines.get(id)?.readers ?? []) reader.finish(error);
    this.#lines.delete(id);
    this.#ended(id);
  }

  /** The client has ended. */
  finish(error?: CloudSignalError): void {
    for (const line of this.#lines.values()) for (const reader of line.readers) reader.finish(error);
    for (const id of [...this.#ending.keys()]) this.#ended(id);
    this.#lines.clear();
    this.#held.clear();
  }
}
