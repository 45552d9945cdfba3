// Pages in a headless Chromium, and a server of what they load.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { launch } from "../chromium.mjs";

const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

const PAGE = "<!doctype html><title>scenarios</title>";

/** What pages load: every file of the package as it is installed, below `/client/`, and scripts beside this one. */
export async function serve(project) {
  const folders = { client: join(project, "node_modules/@cloudsignal/client/dist"), test: import.meta.dirname };
  const server = createServer(({ url }, answer) => {
    const [, folder, file] = /^\/(client|test)\/([\w.-]+)$/.exec(url) ?? [];
    const isPage = url === "/";
    answer.setHeader("content-type", TYPES[extname(url)] ?? "text/html");
    if (!folder) return answer.writeHead(isPage ? 200 : 204).end(isPage ? PAGE : "");
    try {
      answer.end(readFileSync(join(folders[folder], file)));
    } catch {
      answer.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** A browser, and how to open pages of that server in it. `home` is a folder of the project. */
export async function open(job, home, caFile, server) {
  const browser = await launch(job.chromium, join(job.project, home), caFile);
  const context = await browser.newContext();
  const address = `http://127.0.0.1:${server.address().port}/`;
  const newPage = async () => {
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error(error));
    page.on("console", (message) => console.error(message.text()));
    await page.goto(address);
    return page;
  };
  return { browser, context, newPage };
}

/** Ends the process of a page, at once and without a word to it. Resolved when the browser has noticed. */
export async function kill(page) {
  const gone = new Promise((resolve) => page.once("crash", resolve));
  const session = await page.context().newCDPSession(page);
  session.send("Page.crash").catch(() => {}); // There is nobody left to answer.
  await gone;
}
