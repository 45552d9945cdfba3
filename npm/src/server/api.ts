import { refusal, TokenIssuerError } from "./error.js";
import type { IssuerOptions } from "./issuer.js";

/** How long a call may take, milliseconds. */
const TIMEOUT_MILLIS = 10_000;
const RETRIES = 3;
const RETRIES_MAX = 10;
/** The pause before the first repetition where the server names none, milliseconds; each further one is twice as long. */
const PAUSE_MILLIS = 250;
/** The longest answer that is read, bytes. */
const ANSWER_BYTES_MAX = 64 * 1024;
/** The longest description of an error that is passed on, characters. */
const DESCRIPTION_CHARS_MAX = 500;

/** The part of `fetch` that is used. */
export type FetchLike = (url: string, init: RequestInit) => Promise<Response>;

/** What the server was too busy for. It has done nothing then, so that asking again is safe. */
const isBusy = (status: number): boolean => status === 429 || status === 503;

/** The HTTP API, asked with a secret key that leaves this object in one header only. */
export class Api {
  readonly #url: string;
  readonly #secretKey: string;
  readonly #timeout: number;
  readonly #retries: number;
  readonly #fetch: FetchLike;

  constructor({ url, secretKey, timeout = TIMEOUT_MILLIS, retries = RETRIES, fetch = globalThis.fetch }: IssuerOptions) {
    this.#url = base(url);
    if (typeof secretKey !== "string" || !/^[\x21-\x7e]+$/.test(secretKey)) {
      throw new TokenIssuerError("invalid", "secretKey is missing, or not as the server has printed it: is the variable set?");
    }
    if (!(timeout > 0)) throw new TokenIssuerError("invalid", "timeout must be more than 0 milliseconds");
    if (!(retries >= 0 && retries <= RETRIES_MAX)) {
      throw new TokenIssuerError("invalid", `retries must be 0 to ${RETRIES_MAX}`);
    }
    this.#secretKey = secretKey;
    this.#timeout = timeout;
    this.#retries = retries;
    this.#fetch = fetch;
  }

  /** `POST path` with JSON; the answer that says yes, `undefined` when it is empty. */
  async post(path: string, body: object, signal: AbortSignal | undefined): Promise<unknown> {
    const deadline = performance.now() + this.#timeout;
    const late = AbortSignal.timeout(this.#timeout);
    const either = signal ? AbortSignal.any([signal, late]) : late;
    for (let attempt = 0; ; attempt += 1) {
      const { status, headers, text } = await this.#send(path, body, either, signal);
      if (status >= 200 && status < 300) return text === "" ? undefined : parse(text);
      const retryAfter = seconds(headers.get("retry-after"));
      const pause = retryAfter === undefined ? jittered(attempt) : retryAfter * 1000;
      const mayRepeat = isBusy(status) && attempt < this.#retries && performance.now() + pause < deadline;
      if (!mayRepeat) throw this.#refusal(status, text, retryAfter);
      await sleep(pause, signal);
    }
  }

  async #send(path: string, body: object, either: AbortSignal, signal: AbortSignal | undefined): Promise<Answer> {
    const headers = { authorization: `Bearer ${this.#secretKey}`, "content-type": "application/json" };
    try {
      // Whoever could redirect this request would be given the key and the user's address.
      const request = { method: "POST", headers, body: JSON.stringify(body), redirect: "error", signal: either } as const;
      const response = await this.#fetch(this.#url + path, request);
      return { status: response.status, headers: response.headers, text: await read(response) };
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof TokenIssuerError) throw cause;
      if (either.aborted) throw new TokenIssuerError("timeout", `no answer of ${this.#url} within ${this.#timeout} ms`);
      throw new TokenIssuerError("unreachable", `${this.#url} cannot be reached: ${why(cause)}`, { cause });
    }
  }

  #refusal(status: number, text: string, retryAfter: number | undefined): TokenIssuerError {
    let said: { error?: unknown; error_description?: unknown } = {};
    try {
      said = (JSON.parse(text) as typeof said | null) ?? {};
    } catch {
      // Something else answers there, a proxy perhaps; the status says enough.
    }
    const word = (value: unknown) => (typeof value === "string" ? this.#redacted(value) : "");
    return refusal(status, word(said.error), word(said.error_description), retryAfter);
  }

  /** What answers there may not be our server, and may repeat what it was sent. */
  #redacted(text: string): string {
    return text.replaceAll(this.#secretKey, "sk_…").slice(0, DESCRIPTION_CHARS_MAX);
  }
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** What stands before every path. */
function base(url: string | URL): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new TokenIssuerError("invalid", "url is none: it is that of the HTTP API, https://host:8443");
  }
  const isHttp = parsed.protocol === "https:" || parsed.protocol === "http:";
  if (!isHttp || parsed.username || parsed.password || parsed.search || parsed.hash) {
    throw new TokenIssuerError("invalid", "url must be of the form https://host:port, with nothing else in it");
  }
  return parsed.origin + parsed.pathname.replace(/\/+$/, "");
}

/** The body as text; more than a token and an error ever have is not read. */
async function read(response: Response): Promise<string> {
  if (!response.body) return "";
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > ANSWER_BYTES_MAX) {
      await reader.cancel();
      throw new TokenIssuerError("nonsense", `the answer has more than ${ANSWER_BYTES_MAX} bytes: is this the URL of the HTTP API?`);
    }
    text += decoder.decode(value, { stream: true });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new TokenIssuerError("nonsense", "the server has answered something that is not JSON: is this the URL of the HTTP API?");
  }
}

/** `Retry-After`: seconds, or a date. */
function seconds(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max((date - Date.now()) / 1000, 0);
}

/** Anything between half of the pause and all of it, so that many callers do not come back at once. */
function jittered(attempt: number): number {
  return PAUSE_MILLIS * 2 ** attempt * (0.5 + Math.random() / 2);
}

function sleep(millis: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, millis);
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** `fetch` hides the reason in the cause of its error. */
function why(error: unknown): string {
  const { cause } = error as { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? String(error);
}
