// A headless Chromium that trusts one authority, and nothing else that it should not: chain and name are verified.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-dev-shm-usage"];

/** A home folder whose certificate store has one authority, or none. */
function trust(home, caFile) {
  const store = join(home, ".pki", "nssdb");
  mkdirSync(store, { recursive: true });
  const certutil = (...args) => execFileSync("certutil", ["-d", `sql:${store}`, ...args], { stdio: "pipe" });
  certutil("-N", "--empty-password");
  if (caFile) certutil("-A", "-t", "C,,", "-n", "broker", "-i", caFile);
}

/** Starts it, with a home folder of its own. */
export function launch(executablePath, home, caFile) {
  trust(home, caFile);
  return chromium.launch({ executablePath, env: { ...process.env, HOME: home }, args: ARGUMENTS });
}
