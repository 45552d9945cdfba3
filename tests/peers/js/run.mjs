// Runs every row of browser clients in Chromium, each in a page of its own, in turns; a line of JSON for each run.
// Standard input holds the job.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { launch } from "../../interop/js/chromium.mjs";

const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

const job = JSON.parse(await text(process.stdin));
const here = fileURLToPath(new URL(".", import.meta.url));
const installed = createRequire(new URL("../../interop/js/package.json", import.meta.url));

/** The others as they are published for browsers. */
const FILES = {
  "/peers.mjs": join(here, "peers.mjs"),
  "/mqtt.js": join(installed.resolve("mqtt"), "../../dist/mqtt.esm.js"),
  "/paho.js": installed.resolve("paho-mqtt"),
};

function fileOf(url) {
  return url.startsWith("/client/") ? join(job.package, url.slice("/client/".length)) : FILES[url];
}

const server = createServer(({ url }, answer) => {
  if (url === "/") return answer.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>peers</title>");
  const file = fileOf(url);
  if (!file) return answer.writeHead(404).end();
  answer.writeHead(200, { "content-type": TYPES[extname(file)] }).end(readFileSync(file));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await launch(job.chromium, job.home);

async function measure(client, row) {
  const context = await browser.newContext();
  const page = await context.newPage();
  try {
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const millis = await page.evaluate(
      async ({ client, row, url }) => (await import("/peers.mjs")).measure(client, row, url),
      { client, row, url: job.url },
    );
    return { millis };
  } catch (error) {
    return { millis: 0, error: `${error}` };
  } finally {
    await context.close();
  }
}

for (const row of job.rows) {
  for (let run = 0; run < job.runs; run += 1) {
    for (const client of job.clients) {
      const outcome = await measure(client, row);
      console.log(JSON.stringify({ client, row: row.name, count: row.count, ...outcome }));
    }
  }
}
await browser.close();
process.exit(0);
