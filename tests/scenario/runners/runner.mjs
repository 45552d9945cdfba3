// The scenario's commands, carried out by our browser package: see ../README.md.

import { createInterface } from "node:readline";
import { createClient, text } from "@cloudsignal/client";

const tell = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }));

const subscriptions = new Map();
let client;
let answer;
/** Outcomes are told in the order of the commands. */
let told = Promise.resolve();

function open({ url, client_id, will }) {
  client = createClient({
    url,
    clientId: client_id,
    will,
    codec: text,
    reconnect: { first: 100, max: 100 },
    auth: ({ reason }) => {
      tell("token_wanted", { reason });
      return new Promise((resolve) => (answer = resolve));
    },
  });
  client.on("connected", ({ continuity }) => tell("session", { continuity }));
  client.on("state", ({ kind }) => kind === "suspended" && tell("suspended"));
  client.connect();
}

async function read(filter, qos) {
  const subscription = client.subscribe(filter, { qos });
  subscriptions.set(filter, subscription);
  subscription.ready.then((granted) => tell("subscribed", { filter, qos: granted }));
  for await (const { topic, data, qos, retain } of subscription) {
    tell("message", { topic, payload: data, qos, retained: retain });
  }
}

function publish({ topic, payload, qos, retain = false, count }) {
  for (let number = 0; number < (count ?? 1); number++) {
    const data = count ? `${payload}-${number}` : payload;
    const published = client.publish(topic, data, { qos, retain });
    told = told.then(async () => {
      const { kind } = await published;
      tell("published", { payload: data, outcome: kind === "acked" ? "acknowledged" : kind });
    });
  }
}

const commands = {
  open,
  token: ({ password, lifetime_ms }) => answer({ password, expiresIn: lifetime_ms / 1000 }),
  subscribe: ({ filter, qos }) => void read(filter, qos),
  unsubscribe: async ({ filter }) => {
    await subscriptions.get(filter).unsubscribe();
    tell("unsubscribed", { filter });
  },
  publish,
  suspend: () => client.suspend(),
  resume: () => client.connect(),
  close: () => {
    client.on("state", ({ kind }) => kind === "closed" && tell("closed"));
    client.close();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  await commands[command.do](command);
  if (command.do === "close") break;
}
// Nothing else keeps the process: a client that is closed leaves nothing behind.
process.stdin.destroy();
