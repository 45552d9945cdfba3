// For pages: the module is a file beside this one, and is compiled while it arrives. A bundler that has left that file behind
// has taken the same module as a script, which is loaded then.

import { Client } from "./client/client.js";
import { once } from "./client/once.js";
import type { ClientOptions } from "./client/options.js";
import { dial } from "./wire/browser.js";
import { compile } from "./wire/module.js";

export * from "./public.js";

const load = once(async () => {
  try {
    return await compile(new URL("./cloudsignal.wasm", import.meta.url));
  } catch {
    return compile((await import("./cloudsignal.js")).default);
  }
});

/** Makes a client. It does nothing until it is used, so it may be made anywhere, also while a server renders. */
export function createClient(options: ClientOptions): Client {
  return new Client(options, { load, dial });
}
