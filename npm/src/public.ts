// What every entry of the package has beside `createClient`.

export { Client, type ClientEvents, type PublishOptions, type RequestOptions } from "./client/client.js";
export type { Auth, Token, TokenReason, TokenRequest } from "./client/auth.js";
export { CloudSignalError, type ErrorCode } from "./client/error.js";
export type { ClientOptions, Will } from "./client/options.js";
export type { Closed, Continuity, Lost, State, Warning } from "./client/state.js";
export { binary, json, text, type Codec } from "./messages/codec.js";
export type { Message, Qos } from "./messages/message.js";
export type { Outcome } from "./messages/outcome.js";
export type { Properties } from "./messages/properties.js";
export type { SubscribeOptions, Subscription } from "./messages/subscription.js";
export type { Params } from "./topics/pattern.js";
