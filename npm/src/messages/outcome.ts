import { refusal } from "../client/error.js";

/** What became of a published message. */
export type Outcome =
  /** QoS 0: it was given to the connection, which is all that is promised. */
  | { readonly kind: "sent" }
  /** The server has it. `reason` 0x10 says that nobody had subscribed. */
  | { readonly kind: "acked"; readonly reason: number }
  /** It is in the store and survives the page; `done` tells what becomes of it. */
  | { readonly kind: "queued"; readonly done: Promise<Outcome> }
  /** The server has refused it, with a reason code of MQTT 5. */
  | { readonly kind: "rejected"; readonly reason: number }
  /** Its lifetime was over before it could be sent. */
  | { readonly kind: "expired" }
  /**
   * Nobody will know: the client was closed meanwhile, or, at QoS 2, the server has lost the session while it was on its
   * way. It may have arrived; to send it again might make two of it.
   */
  | { readonly kind: "indeterminate" };

export const SENT: Outcome = Object.freeze({ kind: "sent" });

/** What the machine says of a message, by its number in the layout. */
export function outcome(detail: number, reason: number): Outcome {
  switch (detail) {
    case 0:
      return { kind: "acked", reason };
    case 1:
      return { kind: "rejected", reason };
    case 2:
      return { kind: "expired" };
    case 3:
      return SENT;
    default:
      return { kind: "indeterminate" };
  }
}

/** The published messages whose outcome is not known. The machine's queue bounds them. */
export class Outcomes {
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();

  /** Awaits what becomes of what the machine has answered to `publish`. */
  expect(answer: number): Promise<Outcome> {
    if (answer < 0) return Promise.reject(refusal(answer));
    if (answer === 0) return Promise.resolve(SENT);
    return new Promise((resolve) => this.#waiting.set(answer, resolve));
  }

  settle(id: number, result: Outcome): void {
    const resolve = this.#waiting.get(id);
    this.#waiting.delete(id);
    resolve?.(result);
  }

  /** It is in the store: nobody has to wait for the connection. */
  queued(id: number): void {
    const resolve = this.#waiting.get(id);
    resolve?.({ kind: "queued", done: new Promise((done) => this.#waiting.set(id, done)) });
  }

  /** Nobody will tell any more. */
  finish(): void {
    for (const resolve of this.#waiting.values()) resolve({ kind: "indeterminate" });
    this.#waiting.clear();
  }
}
