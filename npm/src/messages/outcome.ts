import { CloudSignalError, refusal } from "../client/error.js";

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
  /** QoS 2: it was on its way when the server lost the session. To send it again might make two of it. */
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

/** A message whose outcome is awaited. */
interface Waiting {
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

/** The published messages whose outcome is not known. The machine's queue bounds them. */
export class Outcomes {
  readonly #waiting = new Map<number, Waiting>();

  /** Awaits what becomes of what the machine has answered to `publish`. */
  expect(answer: number): Promise<Outcome> {
    if (answer < 0) return Promise.reject(refusal(answer));
    if (answer === 0) return Promise.resolve(SENT);
    return new Promise((resolve, reject) => this.#waiting.set(answer, { resolve, reject }));
  }

  settle(id: number, result: Outcome): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.resolve(result);
  }

  /** Nobody will tell any more. */
  fail(why: CloudSignalError): void {
    for (const { reject } of this.#waiting.values()) reject(why);
    this.#waiting.clear();
  }
}
