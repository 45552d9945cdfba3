// `node start.mjs NAME BROKER DATA [PROGRAM…]`: a broker with its data in a folder, and one of the examples with
// it, or that program of an example. What it needs to know is in its environment, as it would be anywhere else.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const [name, broker, data, ...program] = process.argv.slice(2);
const folder = join(import.meta.dirname, name);

/** Starts a program; what is answered beside it is its exit code, once it has ended. */
function start(command, args, options) {
  const child = spawn(command, args, options);
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
  return [child, ended];
}

/** Awaits a broker that takes clients. Its end instead is an error. */
async function ready(ended) {
  let isOver = false;
  void ended.then(() => (isOver = true));
  while (!(await fetch("http://127.0.0.1:9464/readyz").then(({ ok }) => ok, () => false))) {
    if (isOver) throw new Error("the broker has ended: does another one run here?");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const cli = (...args) => JSON.parse(execFileSync(broker, [...args, "--json", "--data-dir", data], { encoding: "utf8" }));

/** The chat has two teams, which are two organizations. */
function teams({ secret_key }) {
  const known = cli("org", "list").orgs.find((org) => org.name === "Globex");
  const { id } = known ?? cli("org", "create", "Globex", "--preset", "permit-all").org;
  const key = cli("key", "create", `chat ${new Date().toISOString()}`, "--org", id).secret_key;
  return [
    { name: "Acme", secretKey: secret_key },
    { name: "Globex", secretKey: key },
  ];
}

mkdirSync(dirname(data), { recursive: true });
// In a group of its own, so that Ctrl-C reaches the example only: the broker ends after it.
const quiet = { stdio: ["ignore", "ignore", "inherit"], env: { RUST_LOG: "warn", ...process.env }, detached: true };
const [server, serverEnded] = start(broker, ["serve", "--data-dir", data], quiet);
let example;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => signal === "SIGTERM" && (example ?? server).kill());
try {
  await ready(serverEnded);
  const first = JSON.parse(readFileSync(join(data, "first-run.json"), "utf8"));
  const env = {
    ...process.env,
    CLOUDSIGNAL_API_URL: first.endpoints.http,
    CLOUDSIGNAL_MQTT_URL: first.endpoints.mqtt,
    CLOUDSIGNAL_SECRET_KEY: first.secret_key,
    CLOUDSIGNAL_URL: `${first.endpoints.http.replace(/^http/, "ws")}/mqtt`,
  };
  if (name === "browser-chat") env.CLOUDSIGNAL_TEAMS = JSON.stringify(teams(first));
  const usual = existsSync(join(folder, "Cargo.toml"))
    ? ["cargo", "run", "--quiet", "-p", name]
    : existsSync(join(folder, "demo.py"))
      ? [process.env.CLOUDSIGNAL_PYTHON ?? "python3", "demo.py"]
      : ["npm", "start", "--silent"];
  const [command, ...args] = program.length ? program : usual;
  const [child, ended] = start(command, args, { stdio: "inherit", cwd: folder, env });
  example = child;
  process.exitCode = await ended;
} finally {
  server.kill("SIGTERM");
  await serverEnded;
}
