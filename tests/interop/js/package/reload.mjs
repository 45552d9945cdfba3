// What a page was told to keep survives the end of its process: a page with a store is killed, another one goes on.

import { kill } from "./browser.mjs";
import { World, within } from "./scenarios.mjs";

const NAME = "what_is_stored_survives_the_process_of_the_page";

/** In a page: everything is kept and nothing is sent, for the client is suspended. */
async function first(job) {
  const { createClient } = await import("/client/index.js");
  const { indexedDbStore } = await import("/client/store.js");
  const client = createClient({ ...job.login, store: indexedDbStore(job.name) });
  await client.subscribe(`${job.topic}/in`).ready;
  client.suspend();
  const outcomes = job.numbers.map((number) => client.publish(`${job.topic}/out`, number, { qos: 1 + (number % 2) }));
  return [client.clientId, (await Promise.all(outcomes)).map(({ kind }) => kind)];
}

/** In the page after it. */
async function second(job) {
  const { createClient } = await import("/client/index.js");
  const { indexedDbStore } = await import("/client/store.js");
  const client = createClient({ ...job.login, store: indexedDbStore(job.name) });
  const connected = new Promise((resolve) => client.on("connected", resolve));
  const reading = client.subscribe(`${job.topic}/in`)[Symbol.asyncIterator]();
  const { value } = await reading.next();
  const answer = [client.clientId, (await connected).continuity, value.data];
  await reading.return();
  globalThis.end = () => client.close({ forget: true });
  return answer;
}

/** In a page of its own: who sees what the other two do. */
async function watch(job) {
  const { createClient } = await import("/client/index.js");
  const client = createClient(job.login);
  const subscription = client.subscribe(`${job.topic}/out`, { qos: 2 });
  await subscription.ready;
  await client.publish(`${job.topic}/in`, "meanwhile");
  globalThis.seen = [];
  globalThis.end = () => client.close({ forget: true });
  subscription.on(({ data }) => seen.push(data));
}

function same(got, wanted, what) {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) {
    throw new Error(`${what}: got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);
  }
}

async function survive(newPage, job) {
  const numbers = Array.from({ length: 20 }, (_, number) => number);
  const login = { url: job.url, username: job.username, password: job.password };
  const told = { login, numbers, name: NAME, topic: new World({ place: "page" }, "5", NAME, {}).topic("x") };

  const killed = await newPage();
  const [clientId, kinds] = await within("outcomes", killed.evaluate(first, told));
  same(kinds, numbers.map(() => "queued"), "outcomes");
  await within("the end of the page", kill(killed));

  const watching = await newPage();
  await within("SUBACK", watching.evaluate(watch, told));
  const next = await newPage();
  same(await within("message", next.evaluate(second, told)), [clientId, "resumed", "meanwhile"], "the page after it");
  await within("messages", watching.waitForFunction((count) => seen.length >= count, numbers.length));
  await next.evaluate(() => end());
  same(await watching.evaluate(() => (end(), seen)), numbers, "messages");
}

/** The scenario, told as the others are. */
export async function runReload(newPage, job, tell) {
  let error = null;
  try {
    await survive(newPage, job);
  } catch (caught) {
    error = caught.stack;
  }
  tell({ scenario: NAME, version: "5", error });
}
