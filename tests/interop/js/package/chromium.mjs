// Runs every scenario in a headless Chromium that trusts the broker's own authority, and nothing else that it should
// not: the chain and the name are verified. Standard input holds the job; `project` has the package installed.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { text } from "node:stream/consumers";
import { launch } from "../chromium.mjs";
import { runReload } from "./reload.mjs";

const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

const job = JSON.parse(await text(process.stdin));

/** What the page loads: the package as it is installed, and the scenarios. */
const FILES = {
  "/scenarios.mjs": "scenarios.mjs",
  "/client/index.js": "node_modules/@cloudsignal/client/dist/index.js",
  "/client/store.js": "node_modules/@cloudsignal/client/dist/store.js",
  "/client/inline.js": "node_modules/@cloudsignal/client/dist/inline.js",
  "/client/cloudsignal.wasm": "node_modules/@cloudsignal/client/dist/cloudsignal.wasm",
};

const PAGE = "<!doctype html><title>scenarios</title>";

function serve() {
  const server = createServer(({ url }, answer) => {
    const file = FILES[url];
    if (!file) return answer.writeHead(url === "/" ? 200 : 404, { "content-type": "text/html" }).end(url === "/" ? PAGE : "");
    answer.writeHead(200, { "content-type": TYPES[extname(file)] }).end(readFileSync(join(job.project, file)));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

async function open(home, caFile, server) {
  const browser = await launch(job.chromium, home, caFile);
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error(error));
  page.on("console", (message) => console.error(message.text()));
  const address = `http://127.0.0.1:${server.address().port}/`;
  await page.goto(address);
  return { browser, context, page, address };
}

/** Without the authority there must be no connection: what is shown below is then worth something. */
async function distrusts(server) {
  const { browser, page } = await open(join(job.project, "home-without"), undefined, server);
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

const server = await serve();
await distrusts(server);
const { browser, context, page, address } = await open(join(job.project, "home"), job.ca_file, server);
await page.exposeFunction("tell", (outcome) => console.log(JSON.stringify(outcome)));
await page.evaluate(async (job) => {
  const { run } = await import("/scenarios.mjs");
  await run({ ...job, place: "page" }, await import("/client/index.js"), tell);
  // The same with the module inside of the script; one scenario shows that it is the same.
  const inline = (outcome) => tell({ ...outcome, scenario: `${outcome.scenario}_inline` });
  await run({ ...job, place: "inline", versions: ["5"] }, await import("/client/inline.js"), inline);
}, job);
await runReload(context, address, job, (outcome) => console.log(JSON.stringify(outcome)));
await browser.close();
server.close();
