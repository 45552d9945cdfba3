// For bundlers and places that load modules in their own way: the caller brings it.

import { Client } from "./client/client.js";
import { once } from "./client/once.js";
import type { ClientOptions } from "./client/options.js";
import { dial } from "./wire/browser.js";
import { compile, type ModuleSource } from "./wire/module.js";

export * from "./public.js";
export type { ModuleSource };

/** Makes a client. `module` is asked for when the client is first used. */
export function createClient(options: ClientOptions, module: () => ModuleSource | Promise<ModuleSource>): Client {
  const load = once(async () => compile(await module()));
  return new Client(options, { load, dial });
}
