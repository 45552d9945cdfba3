import type { Arrived } from "./protocol.js";
import { Delivery } from "../messages/message.js";
import { DUP } from "../wire/layout.js";

/** A message that this tab has. */
interface Given {
  readonly message: Arrived;
  /** What the present hub calls it; a hub that has not sent it has no name for it. */
  name: number | undefined;
  /** The application is done with it. */
  isDone: boolean;
}

/**
 * Messages that this tab was given and whose acknowledgement may not survive the hub: the next hub gets them from the
 * server again, and this tab does not want them twice. Such a message has no name that outlives a hub, but the server sends
 * again, marked as such and before anything new [MQTT-4.6.0-1], exactly what nobody has acknowledged: one that is equal to
 * one of those is that one, or may be taken for it.
 */
export class Deliveries {
  readonly #acknowledge: (receipt: number) => void;
  readonly #given = new Map<number, Given>();
  /** Given by earlier hubs, by subscription, in order. */
  readonly #stale = new Map<number, Given[]>();

  constructor(acknowledge: (receipt: number) => void) {
    this.#acknowledge = acknowledge;
  }

  /** Answers to whom the receiver says that it is done; nothing when it has this message. */
  take(message: Arrived): Delivery | undefined {
    const known = message.bits & DUP ? this.#recognize(message) : undefined;
    if (!(message.bits & DUP)) this.#stale.delete(message.id); // What was to come again has come.
    const given: Given = known ?? { message, name: undefined, isDone: false };
    given.name = message.receipt;
    this.#given.set(message.receipt, given);
    if (given.isDone) this.#acknowledge(message.receipt);
    if (known) return undefined;
    return new Delivery(1, () => {
      given.isDone = true;
      if (given.name !== undefined) this.#acknowledge(given.name);
    });
  }

  #recognize(message: Arrived): Given | undefined {
    const stale = this.#stale.get(message.id);
    const at = stale?.findIndex((given) => isSame(given.message, message)) ?? -1;
    return at < 0 ? undefined : stale!.splice(at, 1)[0];
  }

  /** These acknowledgements survive. */
  confirm(receipts: readonly number[]): void {
    for (const name of receipts) this.#given.delete(name);
  }

  /** Another hub has taken over. */
  onHub(): void {
    for (const given of this.#given.values()) {
      given.name = undefined;
      const { id } = given.message;
      const stale = this.#stale.get(id);
      if (stale) stale.push(given);
      else this.#stale.set(id, [given]);
    }
    this.#given.clear();
  }

  /** A subscription has ended. */
  forget(id: number): void {
    this.#stale.delete(id);
  }
}

function isSame(one: Arrived, other: Arrived): boolean {
  return one.topic === other.topic && isEqual(one.payload, other.payload);
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}
