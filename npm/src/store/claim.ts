// Which database is this page's.

/** So many pages of one origin may have a database each; one more has none. */
const PAGES_MAX = 64;
/** So long a page that comes back waits for its database, which its own end has not let go yet, milliseconds. */
const RETURN_MILLIS_MAX = 3_000;

/**
 * The first database that no other page uses: two pages with one identity would take the session from each other,
 * again and again. It is this page's until the page is gone. A page that is loaded again waits for the one that it had.
 */
export async function claim(name: string): Promise<string> {
  const had = remembered(name);
  if (had && (await hold(had, AbortSignal.timeout(RETURN_MILLIS_MAX)))) return had;
  for (let page = 1; page <= PAGES_MAX; page += 1) {
    const candidate = page === 1 ? name : `${name}-${page}`;
    if (await hold(candidate)) {
      remember(name, candidate);
      return candidate;
    }
  }
  throw new Error(`${PAGES_MAX} pages have a store each`);
}

/** Answers whether it is ours now. Without a signal nothing is waited for. */
function hold(database: string, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const options = signal ? { signal } : { ifAvailable: true };
    const lock = navigator.locks.request(`cloudsignal:${database}`, options, (lock) => {
      resolve(lock !== null);
      return lock && new Promise<never>(() => {}); // Held until the page is gone.
    });
    lock.catch((error: unknown) => (signal?.aborted ? resolve(false) : reject(error)));
  });
}

const keyOf = (name: string) => `cloudsignal:${name}`;

/** What the storage of a tab remembers survives its reload, and its end by a crash. */
function remembered(name: string): string | null {
  try {
    return sessionStorage.getItem(keyOf(name));
  } catch {
    return null; // A worker has none, and a page may not be allowed to have one.
  }
}

function remember(name: string, database: string): void {
  try {
    sessionStorage.setItem(keyOf(name), database);
  } catch {
    // Then the next page takes the first that is free.
  }
}
