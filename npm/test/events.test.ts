import assert from "node:assert/strict";
import { test } from "node:test";

import { EventReader, type Event, type RawMessage } from "../src/wire/events.js";
import { FieldWriter, readFields } from "../src/wire/fields.js";
import { CONTENT_TYPE, EVENT_BYTES, HAS_TOPIC, MESSAGE, MESSAGE_BYTES, STATE } from "../src/wire/layout.js";
import { readProperties, writeProperties } from "../src/messages/properties.js";

function head(kind: number, detail: number, code: number, number: number, body: number): number[] {
  const bytes = new Uint8Array(EVENT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, kind);
  view.setUint8(1, detail);
  view.setUint16(2, code, true);
  view.setUint32(4, EVENT_BYTES + body, true);
  view.setFloat64(8, number, true);
  return [...bytes];
}

const ascii = (text: string) => [...new TextEncoder().encode(text)];

function read(reader: EventReader, bytes: number[]): (Event | RawMessage)[] {
  const seen: (Event | RawMessage)[] = [];
  const put = (it: Event | RawMessage) => void seen.push(it);
  reader.read(Uint8Array.from(bytes), { onEvent: put, onMessage: put });
  return seen;
}

test("a message has its receivers, its topic once, and what is behind the payload", () => {
  const reader = new EventReader();
  const lengths = (topic: number) => [topic, 0, 2, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0];
  const properties = [CONTENT_TYPE, 1, 0, 0, 0, ...ascii("t")];
  const first = [...lengths(3), ...ascii("a/b"), ...ascii("hi"), ...properties];
  const second = [...lengths(0), ...ascii("ho")];
  const seen = read(reader, [
    ...head(MESSAGE, 1 | HAS_TOPIC, 77, 5, first.length),
    ...first,
    ...head(MESSAGE, 1, 77, 6, second.length),
    ...second,
    ...head(STATE, 2, 0, 0, 0),
  ]);
  const [one, two] = seen as RawMessage[];
  assert.equal(seen.length, 3);
  assert.deepEqual([one!.topic, one!.delivery, one!.receivers], ["a/b", 5, [1, 256]]);
  assert.deepEqual([...one!.payload], ascii("hi"));
  assert.deepEqual(readProperties(one!.properties), { contentType: "t" });
  assert.deepEqual([two!.topic, [...two!.payload], two!.properties.length], ["a/b", ascii("ho"), 0]);
  assert.equal((seen[2] as Event).kind, STATE);
  assert.equal(MESSAGE_BYTES, 8);
});

test("properties come back as they were given", () => {
  const properties = {
    expiry: 70_000,
    responseTopic: "answers/1",
    correlation: Uint8Array.of(0, 255),
    contentType: "text/plain",
    isText: true,
    user: [["k", "1"], ["", "ü"], ["k", "2"]] as const,
  };
  assert.deepEqual(readProperties(writeProperties(properties)), properties);
  assert.equal(writeProperties({}).length, 0);
});

test("numbers are cut to what fits", () => {
  const list = new FieldWriter().number(1, -5).number(2, 1e20).number(3, 1.6).finish();
  const numbers = [...readFields(list)].map(([, value]) => new DataView(value.buffer, value.byteOffset).getUint32(0, true));
  assert.deepEqual(numbers, [0, 0xffff_ffff, 2]);
});
