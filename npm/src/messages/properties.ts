import { CONTENT_TYPE, CORRELATION, EXPIRY, IS_TEXT, RESPONSE_TOPIC, USER } from "../wire/layout.js";
import { FieldWriter, decode, encode, readFields } from "../wire/fields.js";

/** What travels beside the payload. MQTT 5 only: a server of MQTT 3.1.1 drops them. */
export interface Properties {
  /** Lifetime of the message, seconds. */
  expiry?: number;
  /** Where an answer should be published. */
  responseTopic?: string;
  /** Tells the asker which question is answered. */
  correlation?: Uint8Array;
  /** What the payload is; not interpreted. */
  contentType?: string;
  /** Whether the payload is UTF-8 text. */
  isText?: boolean;
  /** Names and values, in order; names may repeat. */
  user?: readonly (readonly [name: string, value: string])[];
}

const NONE = new Uint8Array();

/** @internal */
export function writeProperties(properties: Properties): Uint8Array {
  const { expiry, responseTopic, correlation, contentType, isText, user } = properties;
  if (expiry === undefined && responseTopic === undefined && correlation === undefined && contentType === undefined && isText === undefined && !user) {
    return NONE;
  }
  const list = new FieldWriter()
    .number(EXPIRY, expiry)
    .text(RESPONSE_TOPIC, responseTopic)
    .bytes(CORRELATION, correlation)
    .text(CONTENT_TYPE, contentType)
    .bytes(IS_TEXT, isText === undefined ? isText : Uint8Array.of(Number(isText)));
  for (const [name, value] of user ?? []) list.bytes(USER, pair(encode(name), encode(value)));
  return list.finish();
}

const pair = (name: Uint8Array, value: Uint8Array) => Uint8Array.from([name.length & 0xff, name.length >> 8, ...name, ...value]);

/** @internal */
export function readProperties(list: Uint8Array): Properties {
  const properties: Properties = {};
  const user: [string, string][] = [];
  for (const [which, value] of readFields(list)) {
    if (which === EXPIRY) properties.expiry = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
    else if (which === RESPONSE_TOPIC) properties.responseTopic = decode(value);
    else if (which === CORRELATION) properties.correlation = value.slice();
    else if (which === CONTENT_TYPE) properties.contentType = decode(value);
    else if (which === IS_TEXT) properties.isText = value[0] === 1;
    else if (which === USER) {
      const end = 2 + (value[0]! | (value[1]! << 8));
      user.push([decode(value.subarray(2, end)), decode(value.subarray(end))]);
    }
  }
  if (user.length > 0) properties.user = user;
  return properties;
}
