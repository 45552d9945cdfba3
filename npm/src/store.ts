// Stores: what a client was told to keep survives its page.

import { claim } from "./store/claim.js";
import { IndexedDbShelf } from "./store/indexeddb.js";
import { Keeper, type Shelf } from "./store/keeper.js";
import type { Store } from "./store/store.js";

export type { Change, RecordKey, Shelf } from "./store/keeper.js";
export type { Store } from "./store/store.js";

/**
 * Keeps the identity of the client, its subscriptions and what is not delivered in IndexedDB. Each page of an origin
 * that is open at once has a database of its own. A tab that is loaded again waits up to three seconds for the one that
 * it had, as long as the page before it is not quite gone; every other page takes the first that is free. Different
 * applications, and different users of one, need different names.
 */
export function indexedDbStore(name = "cloudsignal"): Store {
  return new Keeper(new IndexedDbShelf(name, claim));
}

/** The same on any other shelf: a file, another database. One client at a time. */
export function storeOn(shelf: Shelf): Store {
  return new Keeper(shelf);
}
