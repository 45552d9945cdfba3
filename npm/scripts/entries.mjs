// What the package consists of.

/** The module, as the browser downloads it. */
export const MODULE = "dist/cloudsignal.wasm";

/** Each is one source file, and one file of the package for each format: modules, but where another is named. One that keeps its names has none of `INTERNAL`, or has it outside. */
export const ENTRIES = [
  { name: "index", platform: "browser", external: ["./cloudsignal.js"] },
  { name: "cloudsignal", platform: "browser" },
  { name: "inline", platform: "browser" },
  { name: "slim", platform: "browser" },
  { name: "tabs", platform: "browser" },
  { name: "tabs-worker", platform: "browser" },
  { name: "store", platform: "browser" },
  { name: "presence", platform: "neutral", keepsNames: true },
  { name: "react", platform: "neutral", external: ["react"], keepsNames: true },
  { name: "server", platform: "neutral", keepsNames: true },
  { name: "node", platform: "node", external: ["ws"] },
  { name: "node", platform: "node", external: ["ws"], format: "cjs" },
];

/** The file that an entry becomes. */
export const fileOf = ({ name, format }) => `dist/${name}.${format === "cjs" ? "cjs" : "js"}`;

/** Properties that never leave a file of the package, nor come into one: they get short names. */
export const INTERNAL = [
  "acknowledge",
  "admit",
  "answer",
  "begin",
  "delivery",
  "dismiss",
  "emit",
  "ending",
  "expect",
  "fail",
  "finish",
  "flags",
  "grant",
  "hangUp",
  "hangUpAll",
  "noToken",
  "offer",
  "onFault",
  "onGranted",
  "onMessage",
  "onRefused",
  "onUnclaimed",
  "onUnsubscribed",
  "opened",
  "outcomes",
  "readers",
  "received",
  "receivers",
  "settle",
  "take",
  "unsent",
  "use",
];
