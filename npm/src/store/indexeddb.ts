import type { Change, RecordKey, Shelf } from "./keeper.js";

/** The one object store of a database. */
const RECORDS = "records";
/** So many pages of one origin may have a database each; one more has none. */
const PAGES_MAX = 64;

/** Records in IndexedDB. They survive the page and the browser's end; the browser decides when they are on the disk. */
export class IndexedDbShelf implements Shelf {
  readonly #name: string;
  #database: IDBDatabase | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  async read(): Promise<[RecordKey, Uint8Array][]> {
    this.#database = await open(await claim(this.#name));
    const records = this.#database.transaction(RECORDS).objectStore(RECORDS);
    const [keys, values] = await Promise.all([done(records.getAllKeys()), done(records.getAll())]);
    return keys.map((key, at) => [key as unknown as RecordKey, values[at] as Uint8Array]);
  }

  write(changes: readonly Change[]): Promise<void> {
    const transaction = this.#database!.transaction(RECORDS, "readwrite", { durability: "relaxed" });
    const records = transaction.objectStore(RECORDS);
    for (const [key, record] of changes) {
      if (record) records.put(record.slice(), [...key]);
      else records.delete([...key]);
    }
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  }
}

/**
 * The first database that no other page uses: two pages with one identity would take the session from each other,
 * again and again. It is this page's until the page is gone.
 */
async function claim(name: string): Promise<string> {
  for (let page = 1; page <= PAGES_MAX; page += 1) {
    const candidate = page === 1 ? name : `${name}-${page}`;
    if (await hold(candidate)) return candidate;
  }
  throw new Error(`${PAGES_MAX} pages have a store each`);
}

function hold(name: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const lock = navigator.locks.request(`cloudsignal:${name}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise<never>(() => {}); // Held until the page is gone.
    });
    lock.catch(reject);
  });
}

async function open(name: string): Promise<IDBDatabase> {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(RECORDS);
  return done(opening);
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
