import { Channel } from "./channel.js";
import type { Failure, ToHub, ToTab } from "./protocol.js";
import { CloudSignalError } from "../client/error.js";
import type { Qos } from "../messages/message.js";
import type { Delivery } from "../messages/message.js";
import type { Reader } from "../messages/receivers.js";
import type { RawMessage } from "../wire/events.js";

/** So many messages may be under way to a tab that has not said that it has them; more of QoS 0 are dropped. */
const UNSEEN_MESSAGES_MAX = 4_096;

/** What went wrong, as it travels. */
export function failure(error: unknown): Failure {
  if (!(error instanceof CloudSignalError)) return { code: "fault", message: String(error) };
  const { code, message, reason, kept } = error;
  return { code, message, reason, kept };
}

/** A tab, as the hub sees it. */
export class Seat {
  readonly id: string;
  readonly readers = new Map<number, SeatReader>();
  /** It has said hello. What it says before that was for an earlier hub, and will be said again. */
  isGreeted = false;
  /** It wants the connection. */
  isWanting = true;
  /** The number of its last publication or question that was dealt with. */
  handled = 0;
  readonly #channel: Channel<ToHub, ToTab>;
  readonly #open = new Map<number, Delivery>();
  #deliveries = 0;
  #unseen = 0;
  #dropped = new Map<string, number>();

  constructor(id: string, channel: string, receive: (seat: Seat, said: readonly ToHub[]) => void) {
    this.id = id;
    this.#channel = new Channel(channel, (said) => receive(this, said));
  }

  post(what: ToTab): void {
    this.#channel.post(what);
  }

  /** A message for one of its subscriptions. What can be lost is, when the tab does not keep up. */
  hand(id: number, filter: string, message: RawMessage, delivery: Delivery | undefined): void {
    if (!delivery && this.#unseen >= UNSEEN_MESSAGES_MAX) {
      this.#dropped.set(filter, (this.#dropped.get(filter) ?? 0) + 1);
      return;
    }
    this.#unseen += 1;
    const name = delivery ? ++this.#deliveries : 0;
    if (delivery) this.#open.set(name, delivery);
    const { topic, flags, payload, properties } = message;
    // Each lies in the buffer of its whole batch, which must not travel along.
    this.post({ kind: "message", id, receipt: name, topic, bits: flags, payload: payload.slice(), properties: properties.slice() });
  }

  seen(messages: number): void {
    this.#unseen -= messages;
    for (const [pattern, messages] of this.#dropped) this.post({ kind: "warning", warning: { kind: "dropped", pattern, messages } });
    this.#dropped.clear();
  }

  /** Answers what it was done with. */
  acknowledge(name: number): Delivery | undefined {
    const delivery = this.#open.get(name);
    this.#open.delete(name);
    delivery?.settle();
    return delivery;
  }

  /** It is gone. With `settles`, nobody else will be given what it had. */
  leave(settles: boolean): void {
    this.#channel.close();
    if (settles) for (const delivery of this.#open.values()) delivery.settle();
    this.#open.clear();
  }
}

/** One subscription of a tab. */
export class SeatReader implements Reader {
  isOver = false;

  constructor(
    readonly filter: string,
    readonly seat: Seat,
    readonly id: number,
  ) {}

  offer(message: RawMessage, delivery: Delivery | undefined): void {
    this.seat.hand(this.id, this.filter, message, delivery);
  }

  grant(qos: Qos): void {
    this.seat.post({ kind: "granted", id: this.id, qos });
  }

  finish(error?: CloudSignalError): void {
    if (!this.isOver) this.seat.post({ kind: "ended", id: this.id, failure: error && failure(error) });
    this.isOver = true;
  }
}
