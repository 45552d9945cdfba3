import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

/** Every first group of the matches. */
const all = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, name]) => name!);

test("what tabs and their hub say to each other keeps its names", () => {
  const [, list] = readFileSync("scripts/entries.mjs", "utf8").split("INTERNAL = [");
  const short = all(list!, /"(\w+)"/g);
  const said = all(readFileSync("src/tabs/protocol.ts", "utf8"), /readonly (\w+)\??:/g);
  assert.ok(short.length > 20 && said.length > 20, "names are found");
  assert.deepEqual(said.filter((name) => short.includes(name)), []);
});
