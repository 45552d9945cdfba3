import type { Client } from "../client/client.js";
import { json, type Codec } from "./codec.js";

/**
 * @internal A codec, or that of a client, to which an empty payload is `undefined`: so a retained message is cleared, which no
 * JSON says.
 */
export function optional<T>(client: Pick<Client, "options">, own?: Codec<T>): Codec<T | undefined> {
  const codec = own ?? client.options.codec ?? json<T>();
  return {
    encode: (data) => (data === undefined ? new Uint8Array() : codec.encode(data)),
    decode: (payload) => (payload.length === 0 ? undefined : codec.decode(payload)),
  };
}
