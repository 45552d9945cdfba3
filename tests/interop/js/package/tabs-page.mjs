// What a tab does in the scenarios of `tabs.mjs`.

/** One client, kept where the next call finds it. Answers its identifier once it is connected. */
export async function begin({ login, name, worker, token, entry = "tabs" }) {
  const { createClient } = await import(`/client/${entry}.js`);
  globalThis.asked = 0;
  const auth = token && (() => ((asked += 1), { ...token, expiresIn: 3600 }));
  globalThis.client = createClient({ ...login, name, worker, ...(auth && { auth }) });
  globalThis.continuities = [];
  client.on("connected", ({ continuity }) => continuities.push(continuity));
  const connected = new Promise((resolve) => client.on("state", ({ kind }) => kind === "connected" && resolve()));
  client.connect();
  await connected;
  return client.clientId;
}

/** Collects what a filter brings, below `got[name]`. */
export async function collect(name, filter, options) {
  globalThis.got ??= {};
  globalThis.streams ??= {};
  got[name] = [];
  streams[name] = client.subscribe(filter, options);
  streams[name].on(({ data }) => void got[name].push(data));
  return streams[name].ready;
}

/** Publishes `count` numbered messages, a few at a time, and answers the kinds of their outcomes. */
export async function send(topic, from, count, qos = 2) {
  const kinds = {};
  const all = [];
  for (let number = 0; number < count; number += 1) {
    const published = client.publish(topic, `${from}-${number}`, { qos }).then(
      async (outcome) => (outcome.kind === "queued" ? await outcome.done : outcome).kind,
      (error) => error.code,
    );
    all.push(published.then((kind) => (kinds[kind] = (kinds[kind] ?? 0) + 1)));
    if (number % 4 === 3) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Promise.all(all);
  return kinds;
}
