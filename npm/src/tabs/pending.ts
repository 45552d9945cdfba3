import type { Failure, ToHub } from "./protocol.js";
import { CloudSignalError, refusal } from "../client/error.js";
import type { Outcome } from "../messages/outcome.js";
import { REFUSED_FULL } from "../wire/layout.js";

/** What is said until it is answered. */
export type Said = ToHub & { kind: "publish" | "request" };

/** Somebody waits for what becomes of it. */
interface Waiting {
  readonly said: Said;
  wasSaid: boolean;
  resolve(value: any): void;
  reject(why: unknown): void;
}

const INDETERMINATE: Outcome = { kind: "indeterminate" };

/** The error that has travelled. */
export function fromFailure({ code, message, reason, kept }: Failure): CloudSignalError {
  return new CloudSignalError(code, message, reason, kept);
}

/** What this tab has published and asked, until it knows what became of it. */
export class Pending {
  readonly #waiting = new Map<number, Waiting>();
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax;
    this.#bytesMax = bytesMax;
  }

  /** `say` says it to the hub; when none is there, the next one is told. */
  add<T>(said: Said, isThere: boolean, say: () => void): Promise<T> {
    const isFull = this.#waiting.size >= this.#messagesMax || this.#bytes + said.payload.length > this.#bytesMax;
    if (isFull && this.#waiting.size > 0) return Promise.reject(refusal(REFUSED_FULL));
    this.#bytes += said.payload.length;
    const result = new Promise<T>((resolve, reject) => this.#waiting.set(said.number, { said, wasSaid: isThere, resolve, reject }));
    if (isThere) say();
    return result;
  }

  /** It is in the store: nobody has to wait for the connection. */
  queued(number: number): void {
    const waiting = this.#waiting.get(number);
    if (!waiting) return;
    const { resolve } = waiting;
    const done = new Promise<Outcome>((resolve, reject) => Object.assign(waiting, { resolve, reject }));
    done.catch(() => {}); // Whoever was told that it is kept need not wait for it.
    resolve({ kind: "queued", done });
  }

  settle(number: number, value: unknown): void {
    this.#take(number)?.resolve(value);
  }

  fail(number: number, failure: Failure): void {
    this.#take(number)?.reject(fromFailure(failure));
  }

  #take(number: number): Waiting | undefined {
    const waiting = this.#waiting.get(number);
    if (waiting) this.#bytes -= waiting.said.payload.length;
    this.#waiting.delete(number);
    return waiting;
  }

  /**
   * Another hub is there. Publications are said again, in order: it knows which of them the one before has stored. What is
   * not stored, QoS 0 and questions, is not tried twice.
   */
  sayAgain(say: (said: Said) => void): void {
    for (const [number, waiting] of this.#waiting) {
      const { said, wasSaid } = waiting;
      if (wasSaid && said.kind === "request") {
        this.fail(number, { code: "indeterminate", message: "the tab with the connection is gone" });
      } else if (wasSaid && said.options.qos === 0) {
        this.settle(number, INDETERMINATE);
      } else {
        waiting.wasSaid = true;
        say(said);
      }
    }
  }

  /** The application has closed the client. */
  finish(): void {
    for (const [number, { said }] of this.#waiting) {
      if (said.kind === "publish") this.settle(number, INDETERMINATE);
      else this.fail(number, { code: "closed", message: "the client was closed before an answer came" });
    }
  }
}
