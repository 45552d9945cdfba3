import { decode, encode } from "../wire/fields.js";

/** Between what an application has and what travels. A decoder that throws makes the message a warning. */
export interface Codec<T> {
  encode(data: T): Uint8Array;
  decode(payload: Uint8Array): T;
}

/** JSON, as UTF-8. The type is what the application says it is; nothing is checked. */
export function json<T = unknown>(): Codec<T> {
  return JSON_CODEC as Codec<T>;
}

const JSON_CODEC: Codec<unknown> = {
  encode: (data) => encode(JSON.stringify(data) ?? "null"),
  decode: (payload) => JSON.parse(decode(payload)),
};

/** Text, as UTF-8. */
export const text: Codec<string> = { encode, decode };

/** The bytes themselves. */
export const binary: Codec<Uint8Array> = {
  encode: (data) => data,
  decode: (payload) => payload.slice(),
};
