// `node scripts/build.mjs FOLDER`: makes `dist` from `src` and from what FOLDER holds, the module and its types.
//
// The types of the module's exports are copied to `generated`, where the sources import them. Every entry of `entries.mjs` becomes one file.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { minify } from "terser";

import { ENTRIES, INTERNAL, MODULE, fileOf } from "./entries.mjs";

/** What every engine with WebAssembly streaming has. */
const FEATURES = ["bulk-memory", "bulk-memory-opt", "nontrapping-float-to-int", "sign-ext", "mutable-globals", "reference-types", "multivalue"];

const bound = process.argv[2];
if (!bound) throw new Error("which folder holds glue_bg.wasm?");

rmSync("dist", { recursive: true, force: true });
for (const folder of ["dist", "generated"]) mkdirSync(folder, { recursive: true });
copyFileSync(join(bound, "glue_bg.wasm.d.ts"), join("generated", "exports.d.ts"));

// The compiler has done the work; what more effort saves here, brotli gives back and more.
const features = FEATURES.map((name) => `--enable-${name}`);
const wasmOpt = join("node_modules", "binaryen", "bin", "wasm-opt");
run(wasmOpt, join(bound, "glue_bg.wasm"), "-o", MODULE, "-O1", "--strip-debug", "--strip-producers", "--strip-target-features", ...features);
copyFileSync(MODULE, join("generated", "module.wasm"));
run(join("node_modules", "typescript", "bin", "tsc"), "-p", ".");

/** Where a file of the other format finds what lies beside it. */
const CJS = {
  banner: { js: 'const fileUrl = require("node:url").pathToFileURL(__filename).href;' },
  define: { "import.meta.url": "fileUrl" },
};

for (const entry of ENTRIES) {
  const { name, platform, external, keepsNames, format = "esm" } = entry;
  const outfile = fileOf(entry);
  await build({
    entryPoints: [`src/${name}.ts`],
    outfile,
    bundle: true,
    minify: true,
    format,
    ...(format === "cjs" ? CJS : {}),
    target: "es2022",
    platform,
    external,
    ...(keepsNames ? {} : { mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`) }),
    loader: { ".wasm": "binary" },
    logLevel: "warning",
  });
  // What one tool leaves, the other finds: 3 % in brotli.
  const { code } = await minify(readFileSync(outfile, "utf8"), { module: format === "esm", ecma: 2022, compress: { passes: 3 } });
  writeFileSync(outfile, code);
}

function run(script, ...args) {
  execFileSync(process.execPath, [script, ...args], { stdio: "inherit" });
}
