// Lists of `u8 which, u32 bytes, value`: options and message properties.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const encode = (text: string): Uint8Array => encoder.encode(text);
export const decode = (bytes: Uint8Array): string => decoder.decode(bytes);

/** What comes before a value, bytes. */
const HEAD_BYTES = 5;

/** As the module has it in its memory: wherever there is WebAssembly, the lowest byte comes first. */
const word = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);

/** Collects a list. What has no value is left out. */
export class FieldWriter {
  #parts: Uint8Array[] = [];
  #length = 0;

  bytes(which: number, value: Uint8Array | undefined): this {
    if (value) {
      this.#parts.push(Uint8Array.of(which, ...word(value.length)), value);
      this.#length += HEAD_BYTES + value.length;
    }
    return this;
  }

  text(which: number, value: string | undefined): this {
    return this.bytes(which, value === undefined ? value : encode(value));
  }

  /** Whole numbers of 32 bits; what lies beyond is cut to the nearest one. */
  number(which: number, value: number | undefined): this {
    return this.bytes(which, value === undefined ? value : word(Math.min(Math.max(Math.round(value), 0), 0xffff_ffff)));
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
