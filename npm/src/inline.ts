// For pages of one file: the module is part of this one.

import { Client } from "./client/client.js";
import { once } from "./client/once.js";
import type { ClientOptions } from "./client/options.js";
import module from "./cloudsignal.js";
import { dial } from "./wire/browser.js";
import { compile } from "./wire/module.js";

export * from "./public.js";

const load = once(() => compile(module));

/** Makes a client. It does nothing until it is used, so it may be made anywhere, also while a server renders. */
export function createClient(options: ClientOptions): Client {
  return new Client(options, { load, dial });
}
