import type { Token, TokenRequest } from "../client/auth.js";
import type { ToTab } from "./protocol.js";

/** A tab that can be asked. */
export interface Provider {
  post(what: ToTab): void;
}

interface Question {
  readonly request: TokenRequest;
  readonly resolve: (token: Token | null) => void;
  readonly reject: (why: Error) => void;
  asked: Provider | undefined;
}

/** Asks the token provider of one living tab; of another when that one is gone, or could not give a token. */
export class TokenDesk {
  #providers: Provider[] = [];
  readonly #open = new Map<number, Question>();
  #last = 0;

  /** A tab with a token provider. */
  add(provider: Provider): void {
    this.#providers.push(provider);
    for (const [number, question] of this.#open) if (!question.asked) this.#pass(number, question);
  }

  remove(provider: Provider): void {
    this.#providers = this.#providers.filter((it) => it !== provider);
    for (const [number, question] of this.#open) if (question.asked === provider) this.#pass(number, question);
  }

  ask(request: TokenRequest): Promise<Token | null> {
    const number = ++this.#last;
    return new Promise((resolve, reject) => {
      const question: Question = { request, resolve, reject, asked: undefined };
      this.#open.set(number, question);
      this.#pass(number, question);
      request.signal.addEventListener("abort", () => {
        question.asked?.post({ kind: "asked enough", question: number });
        this.#open.delete(number);
        reject(new Error("nobody waits for the token any more"));
      });
    });
  }

  /** `undefined`: the provider has thrown, which its tab has told; the next question is for another tab. */
  answer(number: number, token: Token | null | undefined): void {
    const question = this.#open.get(number);
    this.#open.delete(number);
    if (token !== undefined) return question?.resolve(token);
    this.#providers.push(...this.#providers.splice(0, 1));
    question?.reject(new Error("the token provider of a tab has thrown"));
  }

  #pass(number: number, question: Question): void {
    question.asked = this.#providers[0]; // Without one, the next tab is asked.
    const { reason, previous } = question.request;
    question.asked?.post({ kind: "ask", question: number, reason, previous });
  }
}
