// The dashboard, in `StrictMode` as it is developed: React mounts everything twice.

import { join } from "node:path";
import { text } from "node:stream/consumers";
import { launch } from "../chromium.mjs";
import { Program, same, tell, visitor, watchPackets, within } from "./example.mjs";

const AGENTS = ["atlas", "beacon", "comet", "delta", "ember", "fjord"];
/** So many events come at once. */
const BURST = 1000;
/** What the dashboard subscribes to from the beginning: states and events. */
const SUBSCRIPTIONS = 2;

const job = JSON.parse(await text(process.stdin));

/** Resolved once the page has sent so many packets of a kind. */
async function sent(packets, kind, wanted) {
  const all = async () => {
    while (packets.filter((it) => it === kind).length < wanted) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await within(`${kind} (${wanted})`, all());
}

async function watch(page, address) {
  const packets = watchPackets(page, job.url);
  const count = (kind) => packets.filter((it) => it === kind).length;
  await page.goto(address);
  await within("agents", page.waitForFunction((wanted) => document.querySelectorAll(".agent").length === wanted, AGENTS.length));
  await within("events", page.waitForFunction(() => document.querySelectorAll(".events li").length >= 3));
  same(await page.$$eval(".agent", (agents) => agents.map((it) => it.dataset.id)), AGENTS, "agents");
  same(await page.evaluate(() => document.querySelector(".connection").textContent), "live", "connection");
  same([count("CONNECT"), count("SUBSCRIBE")], [1, SUBSCRIPTIONS], "CONNECT and SUBSCRIBE of a page that mounts twice");

  await page.click(".agent[data-id=atlas] .name");
  await within("details", page.waitForFunction(() => /load/.test(document.querySelector(".details p")?.textContent)));
  same(count("SUBSCRIBE"), SUBSCRIPTIONS + 1, "SUBSCRIBE with the details");
  await page.screenshot({ path: join(job.out, "dashboard.png") });
  await page.click(".agent[data-id=atlas] .name");
  await sent(packets, "UNSUBSCRIBE", 1);

  await page.click(".agent[data-id=comet] .command");
  await within("pause", page.waitForSelector(".agent.paused[data-id=comet]"));
  await page.click(".agent[data-id=comet] .command");
  await within("resumption", page.waitForSelector(".agent[data-id=comet]:not(.paused)"));
  const client = await visitor(job, 60);
  await burst(page, client).finally(() => client.end(true));
  same([count("CONNECT"), count("UNSUBSCRIBE")], [1, 1], "CONNECT and UNSUBSCRIBE");
}

/** However much comes at once, the list of events is rendered once in a frame, or in 100 ms where frames are slower. */
async function burst(page, client) {
  await page.evaluate(() => {
    let [renders, frames, began] = [0, 0, 0];
    const count = () => (frames += 1) && requestAnimationFrame(count);
    requestAnimationFrame(count);
    const seen = new MutationObserver(() => {
      renders += 1;
      if (renders === 1) [frames, began] = [1, performance.now()];
    });
    seen.observe(document.querySelector(".events"), { childList: true, subtree: true, characterData: true });
    globalThis.counted = () => ({ renders, most: frames + Math.ceil((performance.now() - began) / 100) });
  });
  for (let at = 1; at <= BURST; at += 1) client.publish("agents/storm/events", JSON.stringify({ what: `number ${at}`, at }));
  const last = (text) => [...document.querySelectorAll(".events li")].some((it) => it.textContent.endsWith(text));
  await within("the last event", page.waitForFunction(last, `number ${BURST}`));
  const { renders, most } = await page.evaluate(() => counted());
  if (renders > most) throw new Error(`${renders} renders where ${most} are enough`);
}

await tell("strict_mode_connects_once_and_what_is_unmounted_is_given_back", async () => {
  const server = new Program(job, "react-dashboard", "server.mjs");
  const browser = await launch(job.chromium, join(job.home, "dashboard"), job.ca_file);
  try {
    const page = await browser.newPage({ viewport: { width: 1180, height: 760 } });
    const errors = [];
    page.on("pageerror", (error) => errors.push(error));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    await watch(page, await server.address());
    same(errors.map(String), [], "errors of the page");
  } finally {
    await browser.close();
    await server.end();
  }
});
