// What turns fixtures into pages: each as its documentation says, without anything that is only for this package.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));

/** The folder of a fixture. */
const at = (...names) => join(HERE, "fixtures", ...names);

/** A page with one script. */
function page(out, script, type = "module") {
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "index.html"), `<!doctype html>\n<script type="${type}" src="${script}"></script>\n`);
}

async function vite(name, out) {
  const { build } = await import("vite");
  const options = { outDir: out, emptyOutDir: true };
  await build({ root: at(name), base: "./", logLevel: "warn", configFile: false, worker: { format: "es" }, build: options });
}

async function webpack(out) {
  const { default: webpack } = await import("webpack");
  const stats = await new Promise((resolve, reject) => {
    const options = { mode: "production", entry: at("webpack", "main.js"), output: { path: out }, context: HERE };
    webpack(options, (error, stats) => (error ? reject(error) : resolve(stats)));
  });
  if (stats.hasErrors() || stats.hasWarnings()) throw new Error(stats.toString({ all: false, errors: true, warnings: true }));
  page(out, "main.js", "text/javascript");
}

async function rollup(out) {
  const { rollup } = await import("rollup");
  const { nodeResolve } = await import("@rollup/plugin-node-resolve");
  const bundle = await rollup({ input: at("rollup", "main.js"), plugins: [nodeResolve({ browser: true })] });
  await bundle.write({ dir: out, format: "es" });
  page(out, "main.js");
}

async function esbuild(name, script, out, format) {
  const { build } = await import("esbuild");
  const entryPoints = [at(name, script)];
  await build({ entryPoints, outdir: out, bundle: true, minify: true, format, logLevel: "error" });
}

async function serviceWorker(out) {
  await esbuild("service-worker", "main.js", out, "esm");
  await esbuild("service-worker", "worker.js", out, "iife");
  page(out, "main.js");
}

function next(out) {
  const program = join(HERE, "node_modules", "next", "dist", "bin", "next");
  const env = { ...process.env, NODE_ENV: "production", NEXT_TELEMETRY_DISABLED: "1" };
  execFileSync(process.execPath, [program, "build", at("next")], { env, stdio: ["ignore", "ignore", "inherit"] });
  cpSync(at("next", "out"), out, { recursive: true });
}

/** Nothing is built: the page loads the files of the package as they are. */
function scriptTag(out) {
  cpSync(at("script-tag"), out, { recursive: true });
  for (const script of ["page.js", "exchange.js"]) cpSync(at(script), join(out, script));
  cpSync(join(HERE, "node_modules", "@cloudsignal", "client", "dist"), join(out, "client"), { recursive: true });
}

/** The dev server of Vite at work: where it is, and how it ends. */
export async function viteDev(cacheDir) {
  const { createServer } = await import("vite");
  // A build in this process has said that it is for production.
  process.env.NODE_ENV = "development";
  const network = { host: "127.0.0.1", port: 0, fs: { allow: [HERE] } };
  const server = await createServer({ root: at("vite"), cacheDir, configFile: false, logLevel: "warn", server: network });
  await server.listen();
  return { address: server.resolvedUrls.local[0], close: () => server.close() };
}

/** Fixture to what writes its pages into a folder. */
export const BUILDERS = {
  "vite-prod": (out) => vite("vite", out),
  "shared-worker": (out) => vite("shared-worker", out),
  webpack,
  rollup,
  esbuild: async (out) => {
    await esbuild("esbuild", "main.js", out, "esm");
    page(out, "main.js");
  },
  "service-worker": serviceWorker,
  "script-tag": scriptTag,
  next,
};
