// Runs every scenario in a headless Chromium that trusts the broker's own authority, and nothing else that it should
// not: the chain and the name are verified. Standard input holds the job; `project` has the package installed.

import { text } from "node:stream/consumers";
import { open, serve } from "./browser.mjs";
import { runReload } from "./reload.mjs";

const job = JSON.parse(await text(process.stdin));

/** Without the authority there must be no connection: what is shown below is then worth something. */
async function distrusts(server) {
  const { browser, newPage } = await open(job, "home-without", undefined, server);
  const page = await newPage();
  const why = await page.evaluate(async (job) => {
    const { createClient } = await import("/client/index.js");
    const client = createClient({ url: job.url, username: job.username, password: job.password });
    const waiting = new Promise((resolve) => client.on("state", (state) => state.kind === "waiting" && resolve(state.why)));
    client.connect();
    const why = await waiting;
    client.close();
    return why;
  }, job);
  await browser.close();
  const error = why === "network" ? null : `it was ${why}`;
  console.log(JSON.stringify({ scenario: "an_unknown_authority_is_not_trusted", version: "5", error }));
}

const server = await serve(job.project);
await distrusts(server);
const { browser, newPage } = await open(job, "home", job.ca_file, server);
const page = await newPage();
await page.exposeFunction("tell", (outcome) => console.log(JSON.stringify(outcome)));
await page.evaluate(async (job) => {
  const { run } = await import("/test/scenarios.mjs");
  await run({ ...job, place: "page" }, await import("/client/index.js"), tell);
  // The same with the module inside of the script; one scenario shows that it is the same.
  const inline = (outcome) => tell({ ...outcome, scenario: `${outcome.scenario}_inline` });
  await run({ ...job, place: "inline", versions: ["5"] }, await import("/client/inline.js"), inline);
}, job);
await runReload(newPage, job, (outcome) => console.log(JSON.stringify(outcome)));
await browser.close();
server.close();
