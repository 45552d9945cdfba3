/** What went wrong, for a program. */
export type IssuerErrorCode =
  /** This is a page, where a secret key must never be. */
  | "browser"
  /** What it was made or called with cannot be used; nothing was sent. */
  | "invalid"
  /** The server cannot be reached, or does not speak HTTP. It may have done what it was asked. */
  | "unreachable"
  /** It has not answered in time. It may have done what it was asked. */
  | "timeout"
  /** It has said no: see `status` and `error`. */
  | "refused"
  /** It has answered something that is no token. */
  | "nonsense";

/** What is known about an error besides its code. */
export interface IssuerErrorDetails {
  status?: number;
  error?: string;
  retryAfter?: number;
  cause?: unknown;
}

/** Why there is no token. Neither the secret key nor a password is in it. */
export class TokenIssuerError extends Error {
  override readonly name = "TokenIssuerError";
  /** The status of HTTP, when the server has refused. */
  readonly status: number | undefined;
  /** What the server calls it: `not_found`, `token_expired`, … */
  readonly error: string | undefined;
  /** Seconds after which it may be asked again, when the server has said so. */
  readonly retryAfter: number | undefined;

  constructor(
    readonly code: IssuerErrorCode,
    message: string,
    { status, error, retryAfter, cause }: IssuerErrorDetails = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
    this.error = error;
    this.retryAfter = retryAfter;
  }
}

/** What to do about an answer, by its status; some by the server's own word. */
const ADVICE: Readonly<Record<string, string>> = {
  401: "is it the organization's secret key (sk_…), and not revoked?",
  403: "the key needs the scope tokens:write, and its organization must not be suspended",
  404: "is the URL that of the HTTP API, and has the token not ended?",
  413: "fewer grants, or shorter ones",
  422: "correct the value",
  429: "ask less often, or raise the quota",
  503: "the server is busy or its disk fails; try again later",
  token_expired: "it can no longer be refreshed: create a new one",
  token_revoked: "it was revoked: create a new one if the user may still connect",
};

/** The error for an answer that is no success. */
export function refusal(status: number, error: string, description: string, retryAfter: number | undefined): TokenIssuerError {
  const said = [status, error].filter(Boolean).join(" ");
  const advice = ADVICE[error] ?? ADVICE[status];
  const message = `the server has refused (${said})${description && `: ${description}`}${advice ? ` — ${advice}` : ""}`;
  const details = { status, error, ...(retryAfter === undefined ? {} : { retryAfter }) };
  return new TokenIssuerError("refused", message, details);
}
