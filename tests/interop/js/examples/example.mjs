// What the tests of the examples share: an example as its own process, a page that is watched, and checks.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect } from "mqtt";

/** Far more than anything here takes, milliseconds. */
const DEADLINE = 60_000;

/** What `promise` gives, or an error that says what did not come. */
export function within(what, promise, millis = DEADLINE) {
  let late;
  const deadline = new Promise((_, reject) => {
    late = setTimeout(() => reject(new Error(`no ${what} within ${millis / 1000} s`)), millis);
  });
  return Promise.race([promise, deadline]).finally(() => clearTimeout(late));
}

export function same(got, wanted, what) {
  const [left, right] = [got, wanted].map((it) => JSON.stringify(it));
  if (left !== right) throw new Error(`${what}: got ${left}, wanted ${right}`);
}

/** A program of an example, whose lines can be awaited. */
export class Program {
  #lines = [];
  #waiting = new Set();

  constructor(job, example, script, env = {}, args = []) {
    const cwd = join(job.examples, example);
    const settings = {
      CLOUDSIGNAL_URL: job.url,
      CLOUDSIGNAL_API_URL: job.api,
      CLOUDSIGNAL_SECRET_KEY: job.secret_key,
      NODE_EXTRA_CA_CERTS: job.ca_file,
      PORT: "0",
    };
    const stdio = ["ignore", "pipe", "inherit"];
    this.process = spawn(process.execPath, [script, ...args], { cwd, env: { ...process.env, ...settings, ...env }, stdio });
    this.ended = new Promise((resolve) => this.process.once("exit", (code, signal) => resolve(signal ?? code)));
    createInterface({ input: this.process.stdout }).on("line", (line) => {
      this.#lines.push(line);
      for (const look of [...this.#waiting]) look();
    });
  }

  /** The first `count` matches of its lines, once they are there. */
  lines(pattern, count = 1, millis = DEADLINE) {
    const looking = new Promise((resolve) => {
      const look = () => {
        const found = this.#lines.map((line) => pattern.exec(line)).filter(Boolean);
        if (found.length < count) return;
        this.#waiting.delete(look);
        resolve(found.slice(0, count));
      };
      this.#waiting.add(look);
      look();
    });
    return within(`line ${pattern} (${count}) among ${JSON.stringify(this.#lines)}`, looking, millis);
  }

  /** Where its page is. */
  async address() {
    const [[, address]] = await this.lines(/^open (http:\S+)$/);
    return address;
  }

  end(signal = "SIGTERM") {
    this.process.kill(signal);
    return within(`end by ${signal}`, this.ended);
  }
}

/** What a page says on the connections to the broker: the MQTT packets that it sends, by their kind. */
export function watchPackets(page, url) {
  const packets = [];
  page.on("websocket", (socket) => {
    if (!socket.url().startsWith(url)) return;
    socket.on("framesent", ({ payload }) => packets.push(...kinds(payload)));
  });
  return packets;
}

const KINDS = { 1: "CONNECT", 3: "PUBLISH", 8: "SUBSCRIBE", 10: "UNSUBSCRIBE", 15: "AUTH" };

/** A frame holds whole packets: a byte with the kind, a length of one to four bytes, and so many bytes. */
function kinds(frame) {
  const found = [];
  for (let at = 0; at < frame.length; ) {
    found.push(KINDS[frame[at] >> 4] ?? `${frame[at] >> 4}`);
    let [length, shift] = [0, 0];
    do {
      at += 1;
      length |= (frame[at] & 0x7f) << shift;
      shift += 7;
    } while (frame[at] & 0x80);
    at += 1 + length;
  }
  return found;
}

/** Another client of the first organization, with a token that nobody renews. */
export async function visitor(job, ttl) {
  const request = { method: "POST", headers: { authorization: `Bearer ${job.secret_key}`, "content-type": "application/json" } };
  const body = JSON.stringify({ user_email: "visitor@example.com", ttl });
  const token = await (await fetch(`${job.api}/v2/tokens/create`, { ...request, body })).json();
  const client = connect(job.url, { ...token.mqtt_credentials, protocolVersion: 5, reconnectPeriod: 0 });
  await within("CONNACK", new Promise((resolve) => client.once("connect", resolve)));
  return client;
}

/** Runs the scenario of a script and tells its outcome. */
export async function tell(scenario, run) {
  const error = await run().then(() => null, (caught) => `${caught?.stack ?? caught}`);
  console.log(JSON.stringify({ scenario, version: "5", error }));
}
