// For Node: the module is read from the file beside this one. Sockets are the global ones, else those of `ws`.

import { readFile } from "node:fs/promises";

import { Client } from "./client/client.js";
import { once } from "./client/once.js";
import type { ClientOptions } from "./client/options.js";
import { compile } from "./wire/module.js";
import type { Dialer, Socket } from "./wire/transport.js";

export * from "./public.js";

type Constructor = new (url: string, protocol: string) => Socket;

const load = once(async () => compile(await readFile(new URL("./cloudsignal.wasm", import.meta.url))));

const constructor = once(async (): Promise<Constructor> => {
  if (typeof WebSocket === "function") return WebSocket as unknown as Constructor;
  try {
    return ((await import("ws")) as { WebSocket: Constructor }).WebSocket;
  } catch (cause) {
    throw new Error("this version of Node has no WebSocket: npm install ws", { cause });
  }
});

const dial: Dialer = async (url) => new (await constructor())(url, "mqtt");

/** Makes a client. It does nothing until it is used. */
export function createClient(options: ClientOptions): Client {
  return new Client(options, { load, dial });
}
