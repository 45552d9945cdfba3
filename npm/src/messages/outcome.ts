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
   * Nobody will know: the application has closed the client meanwhile, or, at QoS 2, the server has lost the session while it was on its
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

/** Somebody who waits, and whether the message is in the store. */
type Waiting = [resolve: (outcome: Outcome) => void, reject: (why: unknown) => void, isKept: boolean];

/** The published messages whose outcome is not known. The machine's queue bounds them. */
export class Outcomes {
  readonly #waiting = new Map<number, Waiting>();

  /** Awaits what becomes of what the machine has answered to `publish`. */
  expect(answer: number, isKept = false): Promise<Outcome> {
    if (answer < 0) return Promise.reject(refusal(answer));
    if (answer === 0) return Promise.resolve(SENT);
    return new Promise((resolve, reject) => this.#waiting.set(answer, [resolve, reject, isKept]));
  }

  settle(id: number, result: Outcome): void {
    this.#waiting.get(id)?.[0](result);
    this.#waiting.delete(id);
  }

  /** It is in the store: while there is no connection, nobody has to wait for one. */
  stored(id: number, isConnected: boolean): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    waiting[2] = true;
    if (isConnected) return;
    const done = this.expect(id, true);
    done.catch(() => {}); // Whoever was told that it is kept need not wait for it.
    waiting[0]({ kind: "queued", done });
  }

  /** Nobody will tell any more, for this reason unless the application wanted it so. */
  finish(why?: (isKept: boolean) => Error): void {
    for (const [resolve, reject, isKept] of this.#waiting.values()) {
      if (why) reject(why(isKept));
      else resolve({ kind: "indeterminate" });
    }
    this.#waiting.clear();
  }
}
