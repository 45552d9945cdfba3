// For pages: the module is a file beside this one, and is compiled while it arrives.

import { Client } from "./client/client.js";
import { once } from "./client/once.js";
import type { ClientOptions } from "./client/options.js";
import { dial } from "./wire/browser.js";
import { compile } from "./wire/module.js";

export * from "./public.js";

const load = once(() => compile(new URL("./cloudsignal.wasm", import.meta.url)));

/** Makes a client. It does nothing until it is used, so it may be made anywhere, also while a server renders. */
export function createClient(options: ClientOptions): Client {
  return new Client(options, { load, dial });
}
