// Reading the events that a call has left. The layout is told in `sdk-wasm/src/layout.rs`.

import { HAS_TOPIC, MESSAGE, MESSAGE_BYTES, EVENT_BYTES, TOPIC_SLOTS } from "./layout.js";
import { decode } from "./fields.js";

/** One event: what comes before its body, and the body. */
export interface Event {
  readonly kind: number;
  readonly detail: number;
  readonly code: number;
  readonly number: number;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** A message as it lies in the events. */
export interface RawMessage {
  readonly flags: number;
  /** 0: there is nothing to acknowledge. */
  readonly delivery: number;
  readonly topic: string;
  readonly receivers: readonly number[];
  readonly payload: Uint8Array;
  readonly properties: Uint8Array;
}

/** Whoever is told of the events, in their order. */
export interface EventHandler {
  onMessage(message: RawMessage): void;
  onEvent(event: Event): void;
}

/** Reads events. It remembers the topics that it has seen, as the other side does. */
export class EventReader {
  #topics: string[] = new Array(TOPIC_SLOTS + 1).fill("");

  read(bytes: Uint8Array<ArrayBuffer>, handler: EventHandler): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; ) {
      const end = at + view.getUint32(at + 4, true);
      const kind = bytes[at]!;
      if (kind === MESSAGE) {
        handler.onMessage(this.#message(bytes, view, at, end));
      } else {
        handler.onEvent({
          kind,
          detail: bytes[at + 1]!,
          code: view.getUint16(at + 2, true),
          number: view.getFloat64(at + 8, true),
          body: bytes.subarray(at + EVENT_BYTES, end),
        });
      }
      at = end;
    }
  }

  #message(bytes: Uint8Array, view: DataView, start: number, end: number): RawMessage {
    const flags = bytes[start + 1]!;
    const slot = view.getUint16(start + 2, true);
    let at = start + EVENT_BYTES;
    const topicBytes = view.getUint16(at, true);
    const count = view.getUint16(at + 2, true);
    const payloadBytes = view.getUint32(at + 4, true);
    at += MESSAGE_BYTES;
    const receivers: number[] = [];
    for (let index = 0; index < count; index += 1, at += 4) receivers.push(view.getUint32(at, true));
    if (flags & HAS_TOPIC) this.#topics[slot] = decode(bytes.subarray(at, at + topicBytes));
    at += topicBytes;
    const payload = bytes.subarray(at, at + payloadBytes);
    at += payloadBytes;
    return {
      flags,
      delivery: view.getFloat64(start + 8, true),
      topic: this.#topics[slot]!,
      receivers,
      payload,
      properties: bytes.subarray(at, end),
    };
  }
}
