import type { Properties } from "./properties.js";

/** How hard a message is tried to be delivered: 0 at most once, 1 at least once, 2 exactly once. */
export type Qos = 0 | 1 | 2;

/** A message that has arrived. */
export interface Message<T = unknown, P = Record<string, string>> {
  /** Where it was published. */
  readonly topic: string;
  /** The named levels of the pattern. */
  readonly params: P;
  /** What the codec has made of the payload. */
  readonly data: T;
  readonly qos: Qos;
  /** It comes from the retained store, or was published to it. */
  readonly retain: boolean;
  /** It may have been handed out before. */
  readonly dup: boolean;
  readonly properties: Properties;
  /**
   * Says that it is dealt with, so that the server may forget it. Taking the next message from the stream, or the end
   * of the handler, says it too. Until then it has its place among the messages that may be under way at once, so that
   * a slow reader slows the server.
   */
  ack(): void;
}

/** A received message and everybody who has to be done with it. */
export class Delivery {
  /** Receivers that are not. */
  waiting: number;
  readonly #done: () => void;

  constructor(receivers: number, done: () => void) {
    this.waiting = receivers;
    this.#done = done;
  }

  /** One receiver is done. */
  settle(): void {
    this.waiting -= 1;
    if (this.waiting === 0) this.#done();
  }
}
