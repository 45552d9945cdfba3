import type { Auth } from "./auth.js";
import type { Codec } from "../messages/codec.js";
import type { Qos } from "../messages/message.js";
import type { Store } from "../store/store.js";
import { encode, FieldWriter } from "../wire/fields.js";
import * as at from "../wire/layout.js";

/** What the server publishes for a client that is gone without saying goodbye. */
export interface Will {
  topic: string;
  payload: string | Uint8Array;
  /** Default: 0. */
  qos?: Qos;
  /** Default: false. */
  retain?: boolean;
  /** How long the server waits before it publishes, seconds. MQTT 5 only. Default: 0. */
  delay?: number;
}

/** How a client behaves. The defaults lose nothing while the page lives. */
export interface ClientOptions {
  /** `wss://host:port/path`. */
  url: string | URL;
  /** Where tokens come from. Default: the user name and password below, or nobody. */
  auth?: Auth;
  username?: string;
  password?: string | Uint8Array;
  /** Client identifier. Default: one that no other client has. */
  clientId?: string;
  /** MQTT 5, and 3.1.1 with a server that refuses it (the default), or one of them only. */
  protocol?: "best" | "5" | "3.1.1";
  will?: Will;
  /** How long the session outlives a connection, seconds; 0 ends it with the connection. Default: 86 400. */
  sessionExpiry?: number;
  /** Something is sent at least this often, seconds; 0 switches it off. Default: 30. */
  keepAlive?: number;
  /** How many received QoS 1 and 2 messages may be unacknowledged at once. Default: 256. */
  receiveMax?: number;
  /** How many published messages may wait to be sent or acknowledged. Default: 10 000. */
  queueMessages?: number;
  /** How many bytes they may have together. Default: 16 MiB. */
  queueBytes?: number;
  /** The longest pauses between attempts to connect, milliseconds: the first, and any. Defaults: 500 and 30 000. */
  reconnect?: { first?: number; max?: number };
  /** What survives the page: see `@cloudsignal/client/store`. Default: nothing. */
  store?: Store;
  /** How data is written and read where nothing else is said. Default: JSON. */
  codec?: Codec<any>;
}

const PROTOCOLS = { best: 0, "5": 1, "3.1.1": 2 } as const;

/** What the machine is told; what is absent has its default there. */
export function encodeOptions(options: ClientOptions): Uint8Array {
  const { auth, username, protocol, reconnect, store, will } = options;
  const list = new FieldWriter().text(at.OPTION_CLIENT_ID, options.clientId);
  if (auth) list.text(at.OPTION_TOKEN, "");
  else if (username !== undefined) list.text(at.OPTION_USERNAME, username).bytes(at.OPTION_PASSWORD, bytes(options.password ?? ""));
  list
    .number(at.OPTION_PROTOCOL, protocol && PROTOCOLS[protocol])
    .number(at.OPTION_SESSION_EXPIRY, options.sessionExpiry)
    .number(at.OPTION_KEEP_ALIVE, options.keepAlive)
    .number(at.OPTION_RECEIVE_MAX, options.receiveMax)
    .number(at.OPTION_QUEUE_MESSAGES, options.queueMessages)
    .number(at.OPTION_QUEUE_BYTES, options.queueBytes)
    .number(at.OPTION_RECONNECT_FIRST, reconnect?.first)
    .number(at.OPTION_RECONNECT_MAX, reconnect?.max)
    .text(at.OPTION_DURABLE, store && "");
  if (will) encodeWill(will, list);
  return list.finish();
}

function encodeWill(will: Will, list: FieldWriter): void {
  list.text(at.OPTION_WILL_TOPIC, will.topic).bytes(at.OPTION_WILL_PAYLOAD, bytes(will.payload));
  list.number(at.OPTION_WILL_FLAGS, (will.qos ?? 0) | (will.retain ? at.RETAIN : 0));
  list.number(at.OPTION_WILL_DELAY, will.delay ?? 0);
}

const bytes = (value: string | Uint8Array): Uint8Array => (typeof value === "string" ? encode(value) : value);
