import { CloudSignalError } from "./error.js";

/** What a client is doing. */
export type State =
  /** Nothing yet. */
  | { readonly kind: "idle" }
  /** Opening a connection, waiting for a token, or for the server's word. */
  | { readonly kind: "connecting" }
  | { readonly kind: "connected" }
  /** The last attempt failed, or the connection was lost; another follows in `retryIn` milliseconds. */
  | { readonly kind: "waiting"; readonly why: Lost; readonly reason?: number; readonly retryIn: number }
  /** Disconnected on the application's word, and will come back on it. */
  | { readonly kind: "suspended" }
  /** Disconnected for good, unless `connect` is called again. */
  | { readonly kind: "closed"; readonly why: Closed; readonly reason?: number };

/** Why there is no connection now, though there will be one. */
export type Lost = "network" | "silence" | "server" | "nonsense" | "token";

/** Why a client will not try again by itself. */
export type Closed = "caller" | "refused" | "taken_over" | "token_refused" | "fault";

/** Whether anything may have been missed since the last connection. */
export type Continuity = "new" | "resumed" | "adopted" | "lost";

/** What somebody should know, and no call can answer. */
export type Warning =
  | { readonly kind: "token_not_renewed" | "no_renewal_in_band" | "old_protocol" | "store_failed" }
  /** Every connection ends over the same message, which is sent again and again; the server does not take it: see `giveUp`. */
  | { readonly kind: "stuck"; readonly message: number }
  /** A subscription of an earlier page was ended: nobody asked for it again. */
  | { readonly kind: "unclaimed"; readonly subscription: number }
  /** QoS 0 messages that a full receiver had no room for, oldest first. */
  | { readonly kind: "dropped"; readonly pattern: string; readonly messages: number }
  /** The codec could not read a message; it was acknowledged and not handed out. */
  | { readonly kind: "undecodable"; readonly topic: string; readonly error: unknown }
  /** The application's token provider, or one of its handlers, has thrown. */
  | { readonly kind: "thrown"; readonly error: unknown };

const STATES = ["idle", "connecting", "connected", "waiting", "suspended", "closed"] as const;
const LOST: readonly Lost[] = ["network", "silence", "server", "nonsense", "token"];
const CLOSED: readonly Closed[] = ["caller", "refused", "taken_over", "token_refused"];
const CONTINUITY: readonly Continuity[] = ["new", "resumed", "adopted", "lost"];
const WARNINGS = ["token_not_renewed", "no_renewal_in_band", "unclaimed", "old_protocol", "store_failed", "stuck"] as const;

/** A state, by its numbers in the layout. */
export function state(detail: number, code: number, until: number): State {
  const reason = code >> 8;
  const because = reason > 0 ? { reason } : {};
  const kind = known(STATES[detail]);
  if (kind === "waiting") return { kind, why: known(LOST[code & 0xff]), ...because, retryIn: Math.max(until - performance.now(), 0) };
  if (kind === "closed") return { kind, why: known(CLOSED[code & 0xff]), ...because };
  return { kind };
}

export const continuity = (detail: number): Continuity => known(CONTINUITY[detail]);

export function warning(detail: number, number: number): Warning {
  const kind = known(WARNINGS[detail]);
  return kind === "unclaimed" ? { kind, subscription: number } : kind === "stuck" ? { kind, message: number } : { kind };
}

/** Both sides are built together: a number that is not in the list is a fault of ours. */
function known<T>(value: T | undefined): T {
  if (value === undefined) throw new CloudSignalError("fault", "an unknown number");
  return value;
}
