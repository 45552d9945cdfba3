// MQTT.js as a page would get it from the tools that make our own files.

import { build } from "esbuild";
import { minify } from "terser";

/** Its bytes. */
export async function mqttJs() {
  const built = await build({
    stdin: { contents: 'export { default } from "mqtt";', resolveDir: "." },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    platform: "browser",
    write: false,
    logLevel: "warning",
  });
  const { code } = await minify(built.outputFiles[0].text, { module: true, ecma: 2022, compress: { passes: 3 } });
  return Buffer.from(code);
}
