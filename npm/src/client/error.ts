/** What went wrong, for a program. */
export type ErrorCode =
  /** As many messages or subscriptions as there may be are there already; try again later. */
  | "full"
  /** The message is larger than the server accepts. */
  | "too_large"
  /** The server does not offer this QoS, or retained messages. */
  | "not_offered"
  /** It cannot be said in MQTT. */
  | "inexpressible"
  /** The client is closed. */
  | "closed"
  /** It is no topic, or no topic filter. */
  | "topic"
  /** The server has refused the subscription, or the question. */
  | "refused"
  /** Nobody has answered the question in time. */
  | "timeout"
  /** Nobody listens where the question was asked. */
  | "nobody"
  /** The server has lost the session while the question was open. */
  | "indeterminate"
  /** The library has a fault. */
  | "fault";

/** Every error of this package, except what `AbortSignal` and the application's own functions bring. */
export class CloudSignalError extends Error {
  override readonly name = "CloudSignalError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** The server's reason code, where there is one. */
    readonly reason?: number,
    /**
     * Of a message that waited when the client was closed for good, and not by the application: whether it is in the
     * store, from which it goes out when a client with that store connects. What is not goes out if this one does.
     */
    readonly kept?: boolean,
  ) {
    super(message);
  }
}

/** By their numbers in the layout, from -1 downwards. */
const REFUSALS: readonly [ErrorCode, string][] = [
  ["full", "too many wait already"],
  ["too_large", "larger than the server accepts"],
  ["not_offered", "not offered by the server"],
  ["inexpressible", "cannot be said in MQTT"],
  ["closed", "the client is closed"],
  ["topic", "no valid topic"],
];

/** The error for a negative answer of the machine. */
export function refusal(answer: number): CloudSignalError {
  const [code, message] = REFUSALS[-answer - 1] ?? ["fault", "no such refusal"];
  return new CloudSignalError(code, message);
}
