import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { Client } from "../src/client/client.js";
import { compile } from "../src/wire/module.js";
import type { Socket } from "../src/wire/transport.js";

const timers = () => process.getActiveResourcesInfo().filter((it) => it === "Timeout").length;

test("a closed client keeps no process", async () => {
  const silent: Socket = { binaryType: "", bufferedAmount: 0, onopen: null, onmessage: null, onclose: null, onerror: null, send() {}, close() {} };
  const load = async () => compile(await readFile("generated/module.wasm"));
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
