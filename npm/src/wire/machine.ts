// The client machine: what it is told, and what it wants. Nothing is decided here.

import { EventReader, type EventHandler } from "./events.js";
import { decode, encode } from "./fields.js";
import { REFUSED_CLOSED } from "./layout.js";
import { discard, instantiate, type Exports, type ModuleLoader } from "./module.js";

/** A timer takes no more, milliseconds. */
const TIMER_MILLIS_MAX = 0x7fff_ffff;

/** How the machine reaches the world. */
export interface MachineHandler extends EventHandler {
  /** The machine has a fault and will say nothing more. */
  onFault(fault: unknown): void;
}

const now = () => performance.now();

/** A client that nobody can reach any more gives its memory back. */
const FORGOTTEN = new FinalizationRegistry(([wasm, face]: [Exports, number]) => wasm.__wbg_face_free(face, 0));

/** One client in the module, with the buffers through which it is reached. */
export class Machine {
  readonly #wasm: Exports;
  /** The client's name in the module. */
  readonly #face: number;
  readonly #handler: MachineHandler;
  readonly #reader = new EventReader();
  /** Events that wait until the ones before them are dealt with. */
  readonly #batches: Uint8Array<ArrayBuffer>[] = [];
  readonly #headerAt: number;
  #bytes!: Uint8Array<ArrayBuffer>;
  #words!: Uint32Array;
  #moment!: Float64Array;
  #isReading = false;
  #isCollecting = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;
  #hasFault = false;

  private constructor(wasm: Exports, handler: MachineHandler) {
    this.#wasm = wasm;
    this.#handler = handler;
    this.#face = wasm.face_new();
    this.#headerAt = wasm.face_header(this.#face);
    this.#look();
    FORGOTTEN.register(this, [wasm, this.#face]);
  }

  static async open(load: ModuleLoader, options: Uint8Array, handler: MachineHandler): Promise<Machine> {
    const machine = new Machine(await instantiate(load), handler);
    const [seed] = crypto.getRandomValues(new BigUint64Array(1));
    machine.#room(options.length).set(options);
    if (!machine.#wasm.face_configure(machine.#face, options.length, seed!, now(), Date.now())) {
      throw new TypeError("the options of the client cannot be said in MQTT");
    }
    machine.#look();
    return machine;
  }

  get clientId(): string {
    if (this.#hasFault) return "";
    const bytes = this.#wasm.face_client_id(this.#face);
    this.#look();
    return decode(this.#room(bytes));
  }

  connect = () => this.#call(() => this.#wasm.face_connect(this.#face, now()));
  suspend = () => this.#call(() => this.#wasm.face_suspend(this.#face, now()));
  close = (forget: boolean) => this.#call(() => this.#wasm.face_close(this.#face, +forget, now()));
  opened = (wire: number) => this.#call(() => this.#wasm.face_handle_opened(this.#face, wire, now()));
  closed = (wire: number) => this.#call(() => this.#wasm.face_handle_closed(this.#face, wire, now()));
  wake = () => this.#call(() => this.#wasm.face_handle_wake(this.#face, now()));
  noToken = (ask: number, refused: boolean) => this.#call(() => this.#wasm.face_handle_no_token(this.#face, ask, +refused, now()));
  unsubscribe = (id: number) => this.#call(() => this.#wasm.face_unsubscribe(this.#face, id, now()));
  stored = (ticket: number) => this.#call(() => this.#wasm.face_handle_stored(this.#face, ticket, now()));
  storeFailed = () => this.#call(() => this.#wasm.face_handle_store_failed(this.#face, now()));
  giveUp = (message: number) => this.#call(() => this.#wasm.face_give_up(this.#face, message, now()));
  acknowledge = (delivery: number) => this.#call(() => this.#wasm.face_acknowledge(this.#face, delivery, now()));

  received(wire: number, frame: Uint8Array): void {
    this.#call(() => {
      this.#room(frame.length).set(frame);
      this.#wasm.face_handle_bytes(this.#face, wire, frame.length, now());
    });
  }

  /** `lifetime` in milliseconds; `Infinity` when it is unknown. */
  token(ask: number, username: string, password: string | Uint8Array, lifetime: number): void {
    const name = encode(username);
    const secret = typeof password === "string" ? encode(password) : password;
    this.#call(() => {
      const room = this.#room(name.length + secret.length);
      room.set(name);
      room.set(secret, name.length);
      this.#wasm.face_handle_token(this.#face, ask, name.length, name.length + secret.length, lifetime, now());
    });
  }

  /** Answers 0 when the record is of no use. */
  restore(kind: number, number: number, record: Uint8Array): number {
    return this.#call(() => {
      this.#room(record.length).set(record);
      return this.#wasm.face_restore(this.#face, kind, number, record.length);
    });
  }

  /**
   * Answers 0 when it is sent, a publish id, or a refusal. With `patience`, milliseconds, it is a question, and a
   * request id is answered.
   */
  publish(topic: Uint8Array, payload: Uint8Array, properties: Uint8Array, flags: number, patience: number): number {
    return this.#call(() => {
      const head = topic.length + payload.length;
      const room = this.#room(head + properties.length);
      room.set(topic);
      room.set(payload, topic.length);
      room.set(properties, head);
      return this.#wasm.face_publish(this.#face, topic.length, payload.length, properties.length, flags, patience, now());
    });
  }

  /** Answers a subscription, or a refusal. */
  subscribe(filter: string, flags: number): number {
    const bytes = encode(filter);
    return this.#call(() => {
      this.#room(bytes.length).set(bytes);
      return this.#wasm.face_subscribe(this.#face, bytes.length, flags, now());
    });
  }

  /** The input, from its beginning. */
  #room(bytes: number): Uint8Array {
    if (bytes > this.#words[3]!) {
      this.#wasm.face_reserve(this.#face, bytes);
      this.#look();
    }
    return this.#bytes.subarray(this.#words[2]!, this.#words[2]! + bytes);
  }

  /** Memory that has grown is another buffer, and the one before has no bytes any more. */
  #look(): void {
    if (this.#bytes?.length) return;
    const { buffer } = this.#wasm.memory;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer, this.#headerAt, 6);
    this.#moment = new Float64Array(buffer, this.#headerAt + 24, 1);
  }

  /** After a fault nothing happens any more: commands answer that the client is closed. */
  #call(what: () => number | void): number {
    if (this.#hasFault) return REFUSED_CLOSED;
    let answer: number | void;
    try {
      this.#look(); // Another client may have made the memory grow.
      answer = what();
      this.#look();
    } catch (fault) {
      this.#fail(fault);
      return REFUSED_CLOSED;
    }
    this.#after();
    return answer ?? 0;
  }

  /** Takes what the call has left, and deals with it unless that is under way further up. */
  #after(): void {
    const at = this.#words[0]!;
    const bytes = this.#words[1]!;
    if (bytes > 0) this.#batches.push(this.#bytes.slice(at, at + bytes));
    if (this.#words[4]! > 0 && !this.#isCollecting) {
      this.#isCollecting = true;
      queueMicrotask(this.#collect);
    }
    this.#arm(this.#moment[0]!);
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      for (let batch = this.#batches.shift(); batch; batch = this.#batches.shift()) {
        this.#reader.read(batch, this.#handler);
      }
    } finally {
      this.#isReading = false;
    }
  }

  /** All that was to be sent in this task leaves as one frame. */
  #collect = (): void => {
    this.#isCollecting = false;
    if (!this.#hasFault) this.#call(() => this.#wasm.face_collect(this.#face));
  };

  #arm(at: number): void {
    // The timer that runs is early enough, and early does no harm; where nothing is awaited, none keeps a process.
    if (at >= this.#timerAt && at < Infinity) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    if (at < Infinity) this.#timer = setTimeout(this.#ring, Math.min(at - now(), TIMER_MILLIS_MAX));
  }

  #ring = (): void => {
    this.#timerAt = Infinity;
    if (this.#hasFault) return;
    this.#look();
    if (now() < this.#moment[0]!) this.#arm(this.#moment[0]!);
    else this.#call(() => this.#wasm.face_handle_timeout(this.#face, now()));
  };

  #fail(fault: unknown): void {
    this.#hasFault = true;
    clearTimeout(this.#timer);
    const [at, bytes, line] = new Uint32Array(this.#wasm.memory.buffer, this.#wasm.fault_place(), 3);
    const file = decode(new Uint8Array(this.#wasm.memory.buffer, at, bytes));
    console.error("cloudsignal: a fault of the library at", `${file}:${line}`, fault);
    discard(this.#wasm);
    this.#handler.onFault(fault);
  }
}
