// What the tabs and the hub, which has the one connection, say to each other. Each tab has a channel that only it and
// the hub use; on the common one hubs and tabs find each other. What is said in one task travels together.
//
// The two are different files of the package: no property here has a name that the build makes short (`INTERNAL`).

import type { Token, TokenReason } from "../client/auth.js";
import type { ErrorCode } from "../client/error.js";
import type { ClientOptions } from "../client/options.js";
import type { Continuity, State, Warning } from "../client/state.js";
import type { PublishOptions } from "../client/client.js";
import type { Qos } from "../messages/message.js";
import type { Outcome } from "../messages/outcome.js";
import type { Properties } from "../messages/properties.js";
import type { SubscribeOptions } from "../messages/subscription.js";

/** Another protocol is another connection: tabs with different versions of this package share nothing. */
const PROTOCOL = 1;

/** Names of everything that the tabs of one connection share. */
export const names = (name: string) => {
  const base = `cloudsignal-tabs-${PROTOCOL}:${name}`;
  return {
    /** The common channel, and the database. */
    base,
    /** The lock of whoever is the hub. */
    hub: `${base}:hub`,
    /** The channel of a tab, and the lock that it holds while it lives. */
    tab: (id: string) => `${base}:tab:${id}`,
  };
};

/** On the common channel: a hub is there, or a tab looks for one. */
export type Call = { readonly hub: string } | { readonly tab: string };

/** Options that can be sent: no functions, no objects of ours. */
export type PlainOptions = Omit<ClientOptions, "auth" | "codec" | "store">;

/** What went wrong, as it travels. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly reason?: number | undefined;
  readonly kept?: boolean | undefined;
}

/** A tab to the hub. Numbers of messages and subscriptions are the tab's own. */
export type ToHub =
  | { readonly kind: "hello"; readonly options: PlainOptions; readonly hasAuth: boolean }
  | { readonly kind: "connect" | "suspend" | "wake" }
  | { readonly kind: "close"; readonly forget: boolean }
  | { readonly kind: "publish"; readonly number: number; readonly topic: string; readonly payload: Uint8Array; readonly options: PublishOptions }
  | {
      readonly kind: "request";
      readonly number: number;
      readonly topic: string;
      readonly payload: Uint8Array;
      readonly options: PublishOptions;
      readonly timeoutMs: number | undefined;
    }
  /** `isAgain`: an earlier hub had it. */
  | { readonly kind: "subscribe"; readonly id: number; readonly filter: string; readonly options: SubscribeOptions<never>; readonly isAgain: boolean }
  | { readonly kind: "unsubscribe"; readonly id: number }
  | { readonly kind: "acknowledge"; readonly receipt: number }
  /** So many messages have arrived. */
  | { readonly kind: "seen"; readonly messages: number }
  /** The outcome of a publication is known here; the hub need not remember it. */
  | { readonly kind: "told"; readonly number: number }
  | { readonly kind: "token"; readonly question: number; readonly token: Token | null | undefined };

/** A message that has arrived, for one subscription. */
export interface Arrived {
  readonly kind: "message";
  readonly id: number;
  /** What to acknowledge it by. 0: there is nothing to acknowledge. */
  readonly receipt: number;
  readonly topic: string;
  readonly bits: number;
  readonly payload: Uint8Array;
  readonly properties: Uint8Array;
}

/** The answer to a question. */
export interface Reply {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly properties: Properties;
}

/** The hub to a tab. */
export type ToTab =
  /** `worker`: the name of the one that the hub is in. */
  | { readonly kind: "welcome"; readonly worker: string | undefined; readonly clientId: string; readonly state: State }
  | { readonly kind: "state"; readonly clientId: string; readonly state: State }
  | { readonly kind: "connected"; readonly continuity: Continuity }
  | { readonly kind: "warning"; readonly warning: Warning }
  | { readonly kind: "queued"; readonly number: number }
  | { readonly kind: "outcome"; readonly number: number; readonly outcome: Outcome }
  | { readonly kind: "answer"; readonly number: number; readonly reply: Reply }
  | { readonly kind: "failed"; readonly number: number; readonly failure: Failure }
  | Arrived
  /** These acknowledgements survive the hub. */
  | { readonly kind: "acknowledged"; readonly receipts: readonly number[] }
  | { readonly kind: "granted"; readonly id: number; readonly qos: Qos }
  | { readonly kind: "ended"; readonly id: number; readonly failure: Failure | undefined }
  | { readonly kind: "unsubscribed"; readonly id: number }
  | { readonly kind: "ask"; readonly question: number; readonly reason: TokenReason; readonly previous: Token | undefined }
  | { readonly kind: "asked enough"; readonly question: number };
