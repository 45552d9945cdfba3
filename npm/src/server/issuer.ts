import { Api, type FetchLike } from "./api.js";
import { TokenIssuerError } from "./error.js";

/** How an issuer reaches the server. */
export interface IssuerOptions {
  /** The HTTP API: `https://host:8443`. */
  url: string | URL;
  /** The organization's secret key, `sk_…`, or a restricted one with the scope `tokens:write`. */
  secretKey: string;
  /** How long a call may take, its repetitions included, milliseconds. Default: 10 000. */
  timeout?: number;
  /** How often a call is repeated that the server was too busy for (429 and 503). At most 10. Default: 3. */
  retries?: number;
  /** What sends requests. Default: the global `fetch`. */
  fetch?: FetchLike;
}

/** What every call takes. */
export interface CallOptions {
  /** Gives the call up. */
  signal?: AbortSignal;
}

/** What a token may do with the topics that match a filter. */
export interface Grant {
  topic: string;
  action: "pub" | "sub" | "pub+sub";
}

/** More about a token that is to be made. */
export interface CreateOptions extends CallOptions {
  /** How long it lives, seconds: 60 to 86 400. Default: 3 600. */
  lifetime?: number;
  /** Limits it to these topics, within what the access rules allow. Default: what they allow. */
  grants?: readonly Grant[];
  /** Earlier tokens of the address open no new connection from now on. Default: false. */
  replaceExisting?: boolean;
}

/** A token and its password, as the HTTP API says it. It may be given to its user as it is. */
export interface IssuedToken {
  /** The password, once more. */
  readonly access_token: string;
  /** Seconds it lives from when it was made. */
  readonly expires_in: number;
  /** What to connect with. */
  readonly mqtt_credentials: { readonly username: string; readonly password: string };
  /** Names it; not secret. */
  readonly token_id: string;
  /** Whose it is. */
  readonly user_email: string;
  /** When it ends, RFC 3339. */
  readonly expires_at: string;
  /** When to refresh it, RFC 3339. */
  readonly refresh_recommended_at: string;
}

/** Whose tokens are revoked: one, or all of an address. */
export type Revoke = { readonly tokenId: string } | { readonly userEmail: string };

/**
 * Makes tokens with the secret key of an organization, for users whom the application knows. Keep it on servers: whoever
 * has the key may do everything in the organization.
 */
export class TokenIssuer {
  readonly #api: Api;

  constructor(options: IssuerOptions) {
    if (isPage()) {
      const text = "@cloudsignal/client/server is for servers: in a page everybody could read the secret key";
      throw new TokenIssuerError("browser", text);
    }
    this.#api = new Api(options);
  }

  /** A token for an e-mail address. */
  async create(userEmail: string, options: CreateOptions = {}): Promise<IssuedToken> {
    const { lifetime, grants, replaceExisting, signal } = options;
    const body = {
      user_email: named("userEmail", userEmail),
      ...(lifetime === undefined ? {} : { ttl: lifetime }),
      ...(grants === undefined ? {} : { scope: grants.map(({ topic, action }) => ({ topic, action })) }),
      ...(replaceExisting ? { replace_existing: true } : {}),
    };
    return token(await this.#api.post("/v2/tokens/create", body, signal));
  }

  /**
   * A new password for a token. Connections made with it stay until the new end, and the old password is good until
   * its own.
   */
  async refresh(issued: Pick<IssuedToken, "token_id" | "access_token">, { signal }: CallOptions = {}): Promise<IssuedToken> {
    const body = {
      token_id: named("token_id", issued.token_id),
      current_token_password: named("access_token", issued.access_token),
    };
    return token(await this.#api.post("/v2/tokens/refresh", body, signal));
  }

  /** Makes tokens worthless, and closes their connections. */
  async revoke(what: Revoke, { signal }: CallOptions = {}): Promise<void> {
    const body =
      "tokenId" in what
        ? { token_id: named("tokenId", what.tokenId) }
        : { user_email: named("userEmail", what.userEmail) };
    await this.#api.post("/v2/tokens/revoke", body, signal);
  }
}

/** A page, or a worker of one. */
function isPage(): boolean {
  const scope = globalThis as { document?: unknown; importScripts?: unknown };
  return typeof scope.document === "object" || typeof scope.importScripts === "function";
}

/** Values come from JavaScript, where an `undefined` is sent as nothing at all. */
function named(name: string, value: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new TokenIssuerError("invalid", `${name} must be a text that is not empty`);
}

function token(answer: unknown): IssuedToken {
  const { access_token, expires_in, mqtt_credentials, token_id } = (answer ?? {}) as Partial<IssuedToken>;
  const texts = [access_token, token_id, mqtt_credentials?.username, mqtt_credentials?.password];
  if (texts.every((text) => typeof text === "string") && typeof expires_in === "number") return answer as IssuedToken;
  throw new TokenIssuerError("nonsense", "the server has answered something that is no token: is this the URL of the HTTP API?");
}
