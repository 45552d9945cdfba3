import type { Change, RecordKey, Shelf } from "./keeper.js";

/** The one object store of a database. */
const RECORDS = "records";

/** Records in IndexedDB. They survive the page and the browser's end; the browser decides when they are on the disk. */
export class IndexedDbShelf implements Shelf {
  readonly #name: string;
  readonly #claim: (name: string) => Promise<string>;
  #database: IDBDatabase | undefined;

  /** `claim` answers which database it is, once nobody else uses it. */
  constructor(name: string, claim: (name: string) => Promise<string>) {
    this.#name = name;
    this.#claim = claim;
  }

  async read(): Promise<[RecordKey, Uint8Array][]> {
    this.#database = await open(await this.#claim(this.#name));
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
