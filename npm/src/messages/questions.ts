import { CloudSignalError, refusal, type ErrorCode } from "../client/error.js";
import type { Codec } from "./codec.js";
import type { Message } from "./message.js";
import { Received } from "./subscription.js";
import type { RawMessage } from "../wire/events.js";

/** Why there is no answer, by the numbers in the layout. */
const UNANSWERED: readonly [ErrorCode, string][] = [
  ["timeout", "nobody has answered in time"],
  ["nobody", "nobody listens there"],
  ["refused", "the server has refused the question"],
  ["closed", "the client was closed"],
  ["indeterminate", "the server has lost the session"],
];

/** Questions that wait for their answer. The machine bounds them, in number and in time. */
export class Questions {
  readonly #open = new Map<number, readonly [codec: Codec<any>, resolve: (answer: Message<any>) => void, reject: (why: unknown) => void]>();

  /** Awaits the answer to what the machine has called so. */
  expect<T>(name: number, codec: Codec<T>): Promise<Message<T>> {
    if (name < 0) return Promise.reject(refusal(name));
    return new Promise((resolve, reject) => this.#open.set(name, [codec, resolve, reject]));
  }

  answer(raw: RawMessage): void {
    const [codec, resolve, reject] = this.#open.get(raw.delivery) ?? [];
    this.#open.delete(raw.delivery);
    try {
      resolve?.(new Received(raw, undefined, {}, codec!.decode(raw.payload)));
    } catch (error) {
      reject!(error);
    }
  }

  fail(name: number, detail: number, reason: number): void {
    const [code, message] = UNANSWERED[detail] ?? UNANSWERED[3]!;
    this.#open.get(name)?.[2](new CloudSignalError(code, message, reason || undefined));
    this.#open.delete(name);
  }

  /** Nobody will answer any more. */
  finish(): void {
    for (const name of [...this.#open.keys()]) this.fail(name, 3, 0);
  }
}
