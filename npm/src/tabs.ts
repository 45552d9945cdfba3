// For applications that people open in many tabs: all of them have one connection.

import { TabClient } from "./tabs/tab.js";
import { placeOf } from "./tabs/place.js";
import { Client } from "./client/client.js";
import { once } from "./client/once.js";
import type { ClientOptions } from "./client/options.js";
import { dial } from "./wire/browser.js";
import { compile } from "./wire/module.js";

export * from "./public.js";

/** How the client of all tabs behaves: what the first tab says, holds. The store is IndexedDB. */
export interface TabsOptions extends Omit<ClientOptions, "store"> {
  /** Tabs with the same name share a connection: different users of one application need different names. Default: the URL. */
  name?: string;
  /** Whether the connection may be in a shared worker. Otherwise one of the tabs has it. Default: true, where there are any. */
  worker?: boolean;
}

const load = once(() => compile(new URL("./cloudsignal.wasm", import.meta.url)));

/**
 * Makes a client that shares its connection with all tabs of this origin. It does nothing until it is used. Without Web
 * Locks (a page that is not served securely, a server that renders) it has a connection of its own, and no store.
 */
export function createClient({ name, worker = true, ...options }: TabsOptions): Client {
  if (!globalThis.navigator?.locks) return new Client(options, { load, dial });
  const shared = name ?? String(options.url);
  const start = (name: string) => new SharedWorker(new URL("./tabs-worker.js", import.meta.url), { type: "module", name });
  const place = () => placeOf(shared, { load, dial }, worker && typeof SharedWorker === "function" ? start : undefined);
  return new TabClient(shared, options, place) as unknown as Client;
}
