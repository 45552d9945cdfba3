// Pages are killed at random moments while they publish: what was reported as kept arrives, and once. Standard input holds
// the job; `kills` is how often in each place: with a store of the page's own, and with a connection that is shared by
// all tabs, in a worker and in the page itself.

import { text } from "node:stream/consumers";
import { kill, open, serve } from "./browser.mjs";
import { within } from "./scenarios.mjs";

const job = JSON.parse(await text(process.stdin));

/** The longest life of a page, milliseconds: some end before they are connected. */
const LIFE_MAX = 900;

/** Calls a function of `kills-page.mjs` in a page. */
const call = (page, name, ...args) =>
  page.evaluate(async ([name, args]) => (await import("/test/kills-page.mjs"))[name](...args), [name, args]);

async function run(place, newPage) {
  const name = `kills-${place}`;
  const { url, username, password } = job;
  const told = { login: { url, username, password }, name, place, topic: `interop/${name}` };
  const watching = await newPage();
  await within("SUBACK", call(watching, "watch", told));
  const kept = new Map();
  for (let round = 0; round < job.kills; round += 1) {
    const page = await newPage();
    await page.exposeFunction("report", (data, kind) => void kept.set(data, kind));
    call(page, "publishUntilKilled", told, round).catch(() => {}); // It never answers.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * LIFE_MAX));
    await within("the end of the page", kill(page));
    await page.close();
  }
  const last = await newPage();
  const finished = await within("the rest", call(last, "finish", told));
  if (finished !== "acked") throw new Error(`the last message is ${finished}`);
  await within("the last message", watching.waitForFunction(() => counts["2:end"]));
  const counts = await watching.evaluate(() => (end(), counts));
  await Promise.all([last.close(), watching.close()]);
  return judge(kept, new Map(Object.entries(counts)));
}

/** Nothing that was reported is lost, and nothing at all comes twice: at QoS 1 because the broker knows the numbers. */
function judge(kept, counts) {
  const lost = [...kept.keys()].filter((data) => !counts.has(data));
  const twice = [...counts].filter(([, count]) => count > 1).map(([data]) => data);
  const kinds = [...kept.values()];
  const of = (kind) => kinds.filter((it) => it === kind).length;
  const figures = `${job.kills} kills, ${of("queued")} reported as stored, ${of("acked")} as acknowledged, `
    + `${counts.size} arrived; lost ${lost.length}, twice ${twice.length}`;
  if (lost.length > 0 || twice.length > 0) throw new Error(`${figures}: ${[...lost, ...twice].slice(0, 20)}`);
  if (of("queued") === 0) throw new Error(`nothing was reported as stored: ${figures}`);
  return figures;
}

const server = await serve(job.project);
const { browser, newPage } = await open(job, "home", job.ca_file, server);
for (const place of ["store", "worker", "page"]) {
  const told = { scenario: `what_was_kept_arrives_once_${place}`, version: "5", error: null };
  try {
    told.note = await run(place, newPage);
  } catch (caught) {
    told.error = `${caught?.stack ?? caught}`;
  }
  console.log(JSON.stringify(told));
}
await browser.close();
server.close();
