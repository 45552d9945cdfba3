// One client in a process of its own. The first line of standard input is its task, in JSON; the next ones are orders. It
// tells what it sees in lines: see node.rs, which reads them.

import { createInterface } from "node:readline";

const LIBRARIES = { cloudsignal: "./cloudsignal.mjs", "mqttjs-defaults": "./mqttjs.mjs", "mqttjs-tuned": "./mqttjs.mjs" };

/** How often is looked whether a message is due, milliseconds. */
const LOOK = 5;

/** A new token for this client's user, as an application's own server would make it. */
async function fetchToken(task) {
  const answer = await fetch(`${task.api}/v2/tokens/create`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      organization_id: task.org_id,
      secret_key: task.secret_key,
      user_email: task.email,
      ttl: task.server_token_secs,
    }),
  });
  if (!answer.ok) throw new Error(`the API answers ${answer.status}`);
  const { mqtt_credentials } = await answer.json();
  tell("token");
  return mqtt_credentials;
}

function tell(...words) {
  process.stdout.write(`${words.join(" ")}\n`);
}

/** Publishes one number and tells what the library says of it. */
async function publish(client, number) {
  try {
    const problem = await client.publish(number);
    if (problem) tell("refused", number, problem);
    else tell("reported", number);
  } catch (error) {
    tell("refused", number, `${error}`.replaceAll("\n", " "));
  }
}

/** Publishes every number when it is due. */
function publishAll(task, client) {
  const begin = performance.now();
  let next = 0;
  const looking = setInterval(() => {
    const due = Math.min(task.messages, ((performance.now() - begin) / 1000) * task.rate);
    while (next < due) void publish(client, next++);
    if (next === task.messages) clearInterval(looking);
  }, LOOK);
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const order = async () => (await lines.next()).value;

const task = JSON.parse(await order());
const { connect } = await import(LIBRARIES[task.kind]);
const client = await connect(task, () => fetchToken(task), tell);
tell("ready");
if ((await order()) === "go") publishAll(task, client);
if ((await order()) === "finish") void publish(client, task.messages);
await order();
process.exit(0);
