// Prints what each file costs, beside MQTT.js, and fails when the package has become too large, unless it is only to print
// (`--print-only`).

import { readFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

import { ENTRIES, MODULE, fileOf } from "./entries.mjs";
import { mqttJs } from "./peer.mjs";

/** What a page waits for before it can do anything, bytes in brotli. */
const BLOCKING_BYTES_MAX = 6_656;
/** With the module, which loads beside the token, bytes in brotli. */
const TOTAL_BYTES_MAX = 46_080;

function sizes(bytes) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return { raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length, brotli: brotliCompressSync(bytes, { params }).length };
}

function row(name, { raw, gzip, brotli }) {
  const cells = [raw, gzip, brotli].map((bytes) => bytes.toLocaleString("en-US").padStart(10));
  console.log(`    ${name.padEnd(24)}${cells.join("")}`);
}

console.log(`    ${"bytes".padEnd(24)}${["raw", "gzip", "brotli"].map((it) => it.padStart(10)).join("")}`);
for (const file of ENTRIES.map(fileOf)) row(file, sizes(readFileSync(file)));
const blocking = sizes(readFileSync("dist/index.js")).brotli;
const module = sizes(readFileSync(MODULE));
row(MODULE, module);
row("MQTT.js, made likewise", sizes(await mqttJs()));

for (const [what, bytes, max] of [
  ["index.js", blocking, BLOCKING_BYTES_MAX],
  ["index.js and the module", blocking + module.brotli, TOTAL_BYTES_MAX],
]) {
  console.log(`    ${what}: ${bytes} bytes of ${max} in brotli`);
  if (bytes > max && process.argv[2] !== "--print-only") {
    console.error(`${what} has ${bytes} bytes in brotli, more than ${max}`);
    process.exitCode = 1;
  }
}
