import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { Client } from "../src/client/client.js";
import { compile } from "../src/wire/module.js";
import type { Socket } from "../src/wire/transport.js";

const load = async () => compile(await readFile("generated/module.wasm"));
const turn = () => new Promise((resolve) => setImmediate(resolve));
const timers = () => process.getActiveResourcesInfo().filter((it) => it === "Timeout").length;

test("a closed client keeps no process", async () => {
  const silent: Socket = { binaryType: "", bufferedAmount: 0, onopen: null, onmessage: null, onclose: null, onerror: null, send() {}, close() {} };
  let dialled!: () => void;
  const dialling = new Promise<void>((resolve) => (dialled = resolve));
  const client = new Client({ url: "wss://localhost" }, { load, dial: () => (dialled(), silent) });
  const before = timers();
  client.connect();
  await dialling;
  assert.equal(timers(), before + 1, "a connection that does not come is given up some time");
  client.close();
  assert.equal(timers(), before);
});

/** A server that ends the connection over any message. */
class Refusing {
  #hasSession = 0;

  dial = (): Socket => {
    const socket: Socket = { binaryType: "", bufferedAmount: 0, onopen: null, onmessage: null, onclose: null, onerror: null, send: (data) => void this.#answer(socket, data as Uint8Array), close() {} };
    void turn().then(() => socket.onopen?.({}));
    return socket;
  };

  async #answer(socket: Socket, [head]: Uint8Array): Promise<void> {
    await turn();
    if (head! >> 4 === 3) return socket.onclose?.({});
    socket.onmessage?.({ data: Uint8Array.of(0x20, 3, this.#hasSession, 0, 0).buffer });
    this.#hasSession = 1;
  }
}

test("a message that ends every connection is named, and given up on the application's word", async () => {
  const client = new Client({ url: "wss://localhost", reconnect: { first: 1, max: 1 } }, { load, dial: new Refusing().dial });
  const named = new Promise<number>((resolve) => client.on("warning", (warning) => warning.kind === "stuck" && resolve(warning.message)));
  const outcome = client.publish("a", "b");
  const message = await named;
  while (!client.giveUp(message)) await turn();
  assert.deepEqual(await outcome, { kind: "indeterminate" });
  assert.equal(client.giveUp(message), false);
  client.close();
});
