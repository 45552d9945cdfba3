// Many tabs, one connection: in a shared worker, and in one of the tabs. Standard input holds the job.

import { text } from "node:stream/consumers";
import { kill, open, serve } from "./browser.mjs";
import { within } from "./scenarios.mjs";

const job = JSON.parse(await text(process.stdin));

/** Tabs that share the connection. */
const TABS = 10;
/** Messages that each of the survivors publishes while the tab with the connection is killed. */
const MESSAGES = 400;

function same(got, wanted, what) {
  const [left, right] = [got, wanted].map((it) => JSON.stringify(it));
  if (left !== right) throw new Error(`${what}: got ${left}, wanted ${right}`);
}

/** Numbered messages of one sender: each once, and in order. */
function exactly(got, from, count, what) {
  const wanted = Array.from({ length: count }, (_, number) => `${from}-${number}`);
  const mine = got.filter((it) => it.startsWith(`${from}-`));
  const lost = wanted.filter((it) => !mine.includes(it));
  const twice = mine.filter((it, at) => mine.indexOf(it) !== at);
  if (lost.length > 0 || twice.length > 0) throw new Error(`${what}: lost ${lost}; twice ${twice}`);
  same(mine, wanted, what);
}

/** What the broker says. */
async function api(path) {
  const answer = await fetch(`${job.api}${path}`, { headers: { authorization: `Bearer ${job.secret_key}` } });
  if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

const connections = async (prefix) =>
  (await api("/v2/sessions?connected=true&limit=100")).sessions.map(({ client_id }) => client_id).filter((id) => id.startsWith(prefix));

const filters = async (clientId) =>
  (await api(`/v2/sessions/${encodeURIComponent(clientId)}`)).subscriptions.map(({ filter }) => filter).sort();

/** Asks again until it is so. */
async function until(what, isSo) {
  const end = performance.now() + 20_000;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Calls a function of `tabs-page.mjs` in a page. */
const call = (page, name, ...args) =>
  within(name, page.evaluate(async ([name, args]) => (await import("/test/tabs-page.mjs"))[name](...args), [name, args]));

/** The world of one scenario: pages with a client each, whose names nobody else has. */
class World {
  pages = [];

  constructor(place, name, newPage) {
    this.place = place;
    this.name = `${name}-${place}`;
    this.newPage = newPage;
    this.topic = (suffix) => `interop/tabs/${this.name}/${suffix}`;
    this.clientId = `tabs-${this.name}`;
    const { url, username, password } = job;
    this.told = { login: { url, username, password, clientId: this.clientId }, name: this.name, worker: place === "worker" };
  }

  async tab(more = {}) {
    const page = await this.newPage();
    this.pages.push(page);
    return [page, await call(page, "begin", { ...this.told, ...more })];
  }

  async end() {
    for (const page of this.pages) {
      if (!page.isClosed() && !page.hasCrashed) await page.evaluate(() => globalThis.client?.close()).catch(() => {});
      await page.close().catch(() => {});
    }
  }

  async kill(page) {
    page.hasCrashed = true;
    await within("the end of the tab", kill(page));
  }
}

const scenarios = [
  {
    name: "ten_tabs_have_one_connection_and_ask_for_one_token",
    async run(world) {
      const { username, password } = job.token.mqtt_credentials;
      const login = { url: job.url, clientId: world.clientId };
      const tabs = await Promise.all(Array.from({ length: TABS }, () => world.tab({ login, token: { username, password } })));
      const pages = tabs.map(([page]) => page);
      same(new Set(tabs.map(([, clientId]) => clientId)).size, 1, "client identifiers");
      await Promise.all(pages.map((page, at) => call(page, "collect", "all", world.topic(":from"), { qos: 2 })));
      const kinds = await Promise.all(pages.map((page, at) => call(page, "send", world.topic(`t${at}`), at, 5)));
      same(kinds, pages.map(() => ({ acked: 5 })), "outcomes");
      same(await connections(world.clientId), [world.clientId], "connections");
      for (const page of pages) {
        await within("messages", page.waitForFunction((count) => got.all.length >= count, 5 * TABS));
        const got = await page.evaluate(() => globalThis.got.all);
        for (let at = 0; at < TABS; at += 1) {
          exactly(got, at, 5, "messages of a tab");
        }
      }
      const asked = await Promise.all(pages.map((page) => page.evaluate(() => asked)));
      same(asked.reduce((sum, it) => sum + it), 1, "tokens");
      same((await api(`/v2/session-history?client_id=${world.clientId}`)).connections, [], "connections that have ended");
    },
  },
  {
    name: "a_tab_that_goes_gives_its_subscriptions_back",
    async run(world) {
      const [[stays], [closes], [dies]] = [await world.tab(), await world.tab(), await world.tab()];
      for (const [page, own] of [[stays, "stays"], [closes, "closes"], [dies, "dies"]]) {
        await call(page, "collect", "common", world.topic("common"));
        await call(page, "collect", "own", world.topic(own));
      }
      const all = (...own) => [...own, "common"].map((it) => world.topic(it)).sort();
      same(await filters(world.clientId), all("stays", "closes", "dies"), "filters of three");
      await closes.close();
      await until("the filter of the closed tab is gone", async () => (await filters(world.clientId)).length === 3);
      same(await filters(world.clientId), all("stays", "dies"), "filters of two");
      await world.kill(dies);
      await until("the filter of the killed tab is gone", async () => (await filters(world.clientId)).length === 2);
      same(await filters(world.clientId), all("stays"), "filters of one");
      same(await call(stays, "send", world.topic("common"), "x", 1), { acked: 1 }, "outcome");
      await within("message", stays.waitForFunction(() => got.common.length > 0));
      await stays.evaluate(() => streams.common.unsubscribe());
      same(await filters(world.clientId), [world.topic("stays")], "filters");
    },
  },
  {
    name: "questions_and_refusals_pass",
    async run(world) {
      const [[asker], [other]] = [await world.tab(), await world.tab()];
      const topic = world.topic("ask");
      await within("SUBACK", other.evaluate((topic) => {
        globalThis.questions = client.subscribe(topic);
        questions.on((question) => client.reply(question, question.data + 1));
        return questions.ready;
      }, topic));
      const seen = await within("answers", asker.evaluate(async ([topic, foreign]) => {
        const code = (promise) => promise.then(() => "none", (error) => error.code);
        const { CloudSignalError } = await import("/client/tabs.js");
        const error = await client.request(`${topic}/nowhere`, 1).catch((error) => error);
        const refused = client.subscribe(foreign);
        return [
          (await client.request(topic, 41)).data,
          [error.code, error instanceof CloudSignalError],
          await code(client.publish("a/#", 1)),
          (await client.publish(foreign, 1)).kind,
          await code(refused.ready),
        ];
      }, [topic, "elsewhere/x"]));
      same(seen, [42, ["nobody", true], "topic", "rejected", "refused"], "answers");
    },
  },
  {
    name: "the_last_tab_loaded_again_goes_on",
    async run(world) {
      const [page, clientId] = await world.tab();
      await call(page, "collect", "in", world.topic("in"), { qos: 1 });
      await page.evaluate(() => client.suspend());
      await page.evaluate((topic) => void client.publish(topic, "kept", { qos: 2 }), world.topic("out"));
      const queued = page.evaluate((topic) => client.publish(topic, "kept too", { qos: 2 }).then(({ kind }) => kind), world.topic("out"));
      same(await within("outcome", queued), "queued", "outcome");
      const [watching] = await world.tab({ name: `${world.name}-watching`, login: { ...world.told.login, clientId: `${clientId}-w` } });
      await call(watching, "collect", "out", world.topic("out"), { qos: 2 });
      same(await call(watching, "send", world.topic("in"), "meanwhile", 1), { acked: 1 }, "outcome");
      await page.reload();
      same(await call(page, "begin", world.told), clientId, "client identifier");
      await call(page, "collect", "in", world.topic("in"), { qos: 1 });
      await within("what was kept", watching.waitForFunction(() => got.out.length > 1));
      await within("what came meanwhile", page.waitForFunction(() => got.in.length > 0));
      same(await watching.evaluate(() => got.out), ["kept", "kept too"], "what was kept");
      same(await page.evaluate(() => [got.in, continuities]), [["meanwhile-0"], ["resumed"]], "what came meanwhile");
    },
  },
  {
    name: "another_tab_takes_over_and_nothing_is_lost_or_comes_twice",
    async run(world, tell) {
      const [leader, clientId] = await world.tab();
      const survivors = [(await world.tab())[0], (await world.tab())[0]];
      const [watching] = await world.tab({ name: `${world.name}-watching`, login: { ...world.told.login, clientId: `${clientId}-w` } });
      await call(watching, "collect", "out", world.topic("out/#"), { qos: 2 });
      for (const page of survivors) await call(page, "collect", "in", world.topic("in"), { qos: 2 });
      const sending = [
        ...survivors.map((page, at) => call(page, "send", world.topic(`out/${at}`), at, MESSAGES)),
        call(watching, "send", world.topic("in"), "in", MESSAGES),
      ];
      for (const sent of sending) sent.catch(() => {}); // Told when it is looked at.
      await within("the first messages", watching.waitForFunction((count) => got.out.length > count, MESSAGES / 4));
      await (world.place === "worker" ? endWorker(world) : world.kill(leader));
      const since = performance.now();
      const again = survivors.map((page) => within("resumption", page.evaluate((topic) => client.publish(topic, 1, { qos: 1 }), world.topic("probe"))));
      await Promise.race(again);
      tell.note = `resumed after ${Math.round(performance.now() - since)} ms`;
      same(await Promise.all(sending), Array(3).fill({ acked: MESSAGES }), "outcomes");
      await within("messages", watching.waitForFunction((count) => got.out.length >= count, 2 * MESSAGES));
      const out = await watching.evaluate(() => got.out);
      for (const at of [0, 1]) exactly(out, at, MESSAGES, "what a survivor has published");
      for (const page of survivors) {
        await within("messages", page.waitForFunction((count) => got.in.length >= count, MESSAGES));
        exactly(await page.evaluate(() => got.in), "in", MESSAGES, "what a survivor has received");
        same(await page.evaluate(() => client.clientId), clientId, "client identifier");
      }
      same((await connections(clientId)).sort(), [clientId, `${clientId}-w`], "connections");
    },
  },
];

/** Ends the shared worker as a crash would: nothing that it holds says goodbye. */
async function endWorker(world) {
  const session = await world.browser.newBrowserCDPSession();
  const { targetInfos } = await session.send("Target.getTargets");
  const target = targetInfos.find(({ type, title, url }) => type === "shared_worker" && title.endsWith(`:${world.name}`));
  if (!target) throw new Error(`no shared worker: ${JSON.stringify(targetInfos)}`);
  const { sessionId } = await session.send("Target.attachToTarget", { targetId: target.targetId, flatten: false });
  const message = JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression: "self.close()" } });
  await session.send("Target.sendMessageToTarget", { sessionId, message });
}

const server = await serve(job.project);
const { browser, newPage } = await open(job, "home", job.ca_file, server);
for (const place of ["worker", "page"]) {
  for (const { name, run } of scenarios) {
    const world = Object.assign(new World(place, name, newPage), { browser });
    const told = { scenario: `${name}_${place}`, version: "5", error: null };
    try {
      await run(world, told);
    } catch (caught) {
      told.error = `${caught?.stack ?? caught}`;
    }
    await world.end();
    console.log(JSON.stringify(told));
  }
}
await browser.close();
server.close();
