// `node scripts/test.mjs`: checks the types of `test` and those that the package brings, and runs every test. What needs a
// broker is in the repository's `tests/interop`.

import { execFileSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const OUT = join("generated", "test");

rmSync(OUT, { recursive: true, force: true });
for (const project of ["test", join("test", "types")]) run(join("node_modules", "typescript", "bin", "tsc"), "-p", project);
await build({
  entryPoints: readdirSync("test").filter((name) => name.endsWith(".test.ts")).map((name) => join("test", name)),
  outdir: OUT,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  format: "esm",
  platform: "node",
  packages: "external",
  logLevel: "warning",
});
run("--test", "--test-reporter=dot", OUT);

function run(...args) {
  execFileSync(process.execPath, args, { stdio: "inherit" });
}
