// Sockets: opened, fed and closed as the machine says.

import type { Machine } from "./machine.js";

/** What this package needs of a WebSocket; the browser's and that of `ws` have it. */
export interface Socket {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: BufferSource): void;
  close(): void;
}

/** Opens a socket with the subprotocol `mqtt`. */
export type Dialer = (url: string) => Socket | Promise<Socket>;

/** The sockets of one client: one, or two while one takes over from the other. */
export class Transport {
  readonly #dial: Dialer;
  readonly #url: string;
  /** A socket that is still being made is not there yet. */
  readonly #sockets = new Map<number, Socket | undefined>();

  constructor(dial: Dialer, url: string) {
    this.#dial = dial;
    this.#url = url;
  }

  /** Bytes that the sockets have not sent. */
  get unsent(): number {
    let bytes = 0;
    for (const socket of this.#sockets.values()) bytes += socket?.bufferedAmount ?? 0;
    return bytes;
  }

  /** `reference` is where the server has sent the client, in its own words. */
  async open(machine: Machine, wire: number, reference: string): Promise<void> {
    const gone = () => {
      if (this.#sockets.delete(wire)) machine.closed(wire);
    };
    this.#sockets.set(wire, undefined);
    try {
      const opening = this.#dial(reference ? referred(this.#url, reference) : this.#url);
      const socket = opening instanceof Promise ? await opening : opening;
      socket.onerror = () => {}; // The end follows.
      if (!this.#sockets.has(wire)) return socket.close(); // Hung up meanwhile.
      this.#sockets.set(wire, socket);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => machine.opened(wire);
      socket.onmessage = ({ data }) => machine.received(wire, typeof data === "string" ? TEXT : new Uint8Array(data));
      socket.onclose = gone;
    } catch {
      gone(); // An address that no socket takes.
    }
  }

  send(wire: number, frame: Uint8Array<ArrayBuffer>): void {
    this.#sockets.get(wire)?.send(frame);
  }

  /** Nothing more is said about it. */
  hangUp(wire: number): void {
    const socket = this.#sockets.get(wire);
    this.#sockets.delete(wire);
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  hangUpAll(): void {
    for (const wire of [...this.#sockets.keys()]) this.hangUp(wire);
  }
}

/** What a text frame is to MQTT: no packet at all [MQTT-6.0.0-1]. */
const TEXT = Uint8Array.of(0);

/** A reference is a host, with a port perhaps [MQTT 5, section 4.11]; several are a choice. */
function referred(url: string, reference: string): string {
  const first = reference.trim().split(/\s+/)[0] ?? "";
  if (first.includes("://")) return first;
  const target = new URL(url);
  target.host = first;
  return target.href;
}
