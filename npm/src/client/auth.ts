import type { Machine } from "../wire/machine.js";

/** Why a token is asked for: there is none, it is about to end or has ended, the server has refused it. */
export type TokenReason = "initial" | "expiring" | "rejected";

/** What a client logs in with. */
export interface Token {
  /** User name. Default: none, when the token says who it is for. */
  username?: string;
  /** The token. */
  password: string | Uint8Array;
  /** How long it is valid from now on, seconds. Default: unknown; it is used until the server refuses it. */
  expiresIn?: number;
}

/** A question for a token. */
export interface TokenRequest {
  readonly reason: TokenReason;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** The token before this one. */
  readonly previous: Token | undefined;
}

/**
 * The application's token provider, asked once per need. `null` says that there will be no token, however often it is
 * asked: the user is not logged in. What it throws counts as a failure that may pass.
 */
export type Auth = (request: TokenRequest) => Promise<Token | null> | Token | null;

const REASONS: readonly TokenReason[] = ["initial", "expiring", "rejected"];

/** Asks for tokens. The first one is asked for before the machine is there, which will want it. */
export class Authenticator {
  readonly #ask: Auth;
  readonly #onError: (error: unknown) => void;
  #abort = new AbortController();
  #previous: Token | undefined;
  #ahead: Promise<[Token | null, number]> | undefined;

  constructor(ask: Auth, onError: (error: unknown) => void) {
    this.#ask = ask;
    this.#onError = onError;
  }

  /** Asks for the first token now. */
  begin(): void {
    this.#ahead = this.#request("initial");
    this.#ahead.catch(() => {}); // Told when the machine asks.
  }

  /** The machine's question, and its answer. */
  async answer(machine: Machine, question: number, detail: number): Promise<void> {
    const ahead = detail === 0 ? this.#ahead : undefined;
    this.#ahead = undefined;
    try {
      const [token, came] = await (ahead ?? this.#request(REASONS[detail] ?? "initial"));
      if (!token) return void machine.noToken(question, true);
      this.#previous = token;
      const lifetime = token.expiresIn === undefined ? Infinity : token.expiresIn * 1000 - (performance.now() - came);
      machine.token(question, token.username ?? "", token.password, Math.max(lifetime, 0));
    } catch (error) {
      this.#onError(error);
      machine.noToken(question, false);
    }
  }

  /** Nobody waits any more. */
  end(): void {
    this.#abort.abort();
  }

  async #request(reason: TokenReason): Promise<[token: Token | null, came: number]> {
    this.#abort.abort();
    this.#abort = new AbortController();
    const token = await this.#ask({ reason, signal: this.#abort.signal, previous: this.#previous });
    return [token, performance.now()];
  }
}
