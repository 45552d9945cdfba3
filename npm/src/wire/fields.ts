// Lists of `u8 which, u32 bytes, value`: options and message properties.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const encode = (text: string): Uint8Array => encoder.encode(text);
export const decode = (bytes: Uint8Array): string => decoder.decode(bytes);

/** Collects a list. */
export class FieldWriter {
  #parts: Uint8Array[] = [];
  #length = 0;

  bytes(which: number, value: Uint8Array): this {
    const head = new Uint8Array(5);
    head[0] = which;
    new DataView(head.buffer).setUint32(1, value.length, true);
    this.#parts.push(head, value);
    this.#length += head.length + value.length;
    return this;
  }

  text(which: number, value: string): this {
    return this.bytes(which, encode(value));
  }

  /** Whole numbers of 32 bits; what lies beyond is cut to the nearest one. */
  number(which: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, Math.min(Math.max(Math.round(value), 0), 0xffff_ffff), true);
    return this.bytes(which, bytes);
  }

  finish(): Uint8Array {
    const list = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      list.set(part, at);
      at += part.length;
    }
    return list;
  }
}

/** Walks over a list. */
export function* readFields(list: Uint8Array): Generator<[which: number, value: Uint8Array]> {
  const view = new DataView(list.buffer, list.byteOffset, list.byteLength);
  for (let at = 0; at + 5 <= list.length; ) {
    const end = at + 5 + view.getUint32(at + 1, true);
    yield [list[at]!, list.subarray(at + 5, end)];
    at = end;
  }
}
