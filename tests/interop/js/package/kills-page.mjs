// What a page does in `kills.mjs` until it is killed, and what the one after it does.

async function make({ login, name, place }) {
  if (place !== "store") {
    const { createClient } = await import("/client/tabs.js");
    return createClient({ ...login, name, worker: place === "worker" });
  }
  // The storage of a tab outlives the process of its page; this page is another tab, which is told what that one knew.
  sessionStorage.setItem(`cloudsignal:${name}`, name);
  const { createClient } = await import("/client/index.js");
  const { indexedDbStore } = await import("/client/store.js");
  return createClient({ ...login, store: indexedDbStore(name) });
}

/** So many messages wait for their outcome at once; one that is in the store does not. */
const WAITING_MAX = 20;

/** Publishes for as long as it lives, now connected, now not, and reports what is kept or has arrived. */
export async function publishUntilKilled(told, round) {
  const client = await make(told);
  let waiting = 0;
  for (let number = 0; ; number += 1) {
    const qos = 1 + (number % 2);
    const data = `${qos}:${round}-${number}`;
    waiting += 1;
    void client.publish(`${told.topic}/${qos}`, data, { qos }).then(({ kind }) => {
      waiting -= 1;
      if (kind === "queued" || kind === "acked") void report(data, kind);
    });
    if (number % 200 === 120) client.suspend();
    else if (number % 200 === 199) client.connect();
    // A pause after every few, and a longer one as long as too many wait.
    if (number % 5 === 0) do await new Promise((resolve) => setTimeout(resolve, 10)); while (waiting >= WAITING_MAX);
  }
}

/** Goes on where the killed ones were, until nothing is left. */
export async function finish(told) {
  const client = await make(told);
  client.connect();
  const last = await client.publish(`${told.topic}/2`, "2:end", { qos: 2 });
  const { kind } = last.kind === "queued" ? await last.done : last;
  client.close({ forget: true });
  return kind;
}

/** Counts everything that arrives. */
export async function watch({ login, topic }) {
  const { createClient } = await import("/client/index.js");
  const client = createClient(login);
  globalThis.counts = {};
  const subscription = client.subscribe(`${topic}/#`, { qos: 2 });
  subscription.on(({ data }) => void (counts[data] = (counts[data] ?? 0) + 1));
  globalThis.end = () => client.close({ forget: true });
  return subscription.ready;
}
