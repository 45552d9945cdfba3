// Builds fixtures, opens each in Chromium, and prints a line of JSON with what came of it. Standard input holds the job:
// the fixtures, a login, and a folder for what is built.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { text } from "node:stream/consumers";
import { launch } from "../../interop/js/chromium.mjs";
import { BUILDERS, viteDev } from "./builders.mjs";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm", ".css": "text/css" };

/** Far more than any page takes, milliseconds. */
const DEADLINE = 60_000;

const job = JSON.parse(await text(process.stdin));

/** Any server of files. */
function serve(folder) {
  const server = createServer(({ url }, answer) => {
    const path = normalize(new URL(url, "http://localhost").pathname);
    try {
      const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
      const bytes = readFileSync(file);
      answer.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(bytes);
    } catch {
      answer.writeHead(404).end();
    }
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve({ address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() });
    });
  });
}

async function open(fixture) {
  const out = join(job.out, fixture);
  if (fixture === "vite-dev") return viteDev(out);
  await BUILDERS[fixture](out);
  return serve(out);
}

/** What a page says in its title. */
async function look(browser, address) {
  const { url, username, password } = job;
  const said = [];
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("pageerror", (error) => said.push(`${error}`));
  page.on("console", (message) => said.push(message.text()));
  try {
    await page.goto(`${address}#${encodeURIComponent(JSON.stringify({ url, username, password }))}`);
    await page.waitForFunction(() => document.title.startsWith("{"), undefined, { timeout: DEADLINE });
    return JSON.parse(await page.title());
  } catch (error) {
    return { error: `${error}\n${said.join("\n")}` };
  } finally {
    await context.close();
  }
}

const browser = await launch(job.chromium, join(job.out, "home"), job.ca_file);
for (const fixture of job.fixtures) {
  let outcome;
  const begin = performance.now();
  try {
    const site = await open(fixture);
    outcome = await look(browser, site.address);
    await site.close();
  } catch (error) {
    outcome = { error: `${error?.stack ?? error}` };
  }
  console.log(JSON.stringify({ fixture, secs: (performance.now() - begin) / 1000, ...outcome }));
}
await browser.close();
process.exit(0);
