// MQTT.js, with its defaults, and as somebody would set it up who knows it well.
//
// Both get new tokens in the only way there is: a timer of the application writes them where the next connection finds
// them. Without that nothing would arrive after the first minute.

import mqtt from "mqtt";

/** A token is replaced when this share of its life is over, as our clients do it. */
const RENEWED_AT = 0.8;
/** When no token could be had, it is tried again so much later, milliseconds. */
const RETRY = 1000;

function tuned(task) {
  return {
    protocolVersion: 5,
    clientId: `tuned-${task.email.split("@")[0]}`,
    clean: false,
    properties: { sessionExpiryInterval: 86_400, receiveMaximum: 256 },
    reconnectPeriod: 250,
    connectTimeout: 5_000,
    keepalive: 30,
    resubscribe: true,
    queueQoSZero: true,
    incomingStore: new mqtt.Store({ clean: false }),
    outgoingStore: new mqtt.Store({ clean: false }),
  };
}

function renew(task, client, fetchToken, after) {
  setTimeout(async () => {
    try {
      Object.assign(client.options, await fetchToken());
      renew(task, client, fetchToken, task.token_secs * RENEWED_AT * 1000);
    } catch {
      renew(task, client, fetchToken, RETRY);
    }
  }, after);
}

export async function connect(task, fetchToken, tell) {
  const options = task.kind === "mqttjs-tuned" ? tuned(task) : {};
  const client = mqtt.connect(task.url, { ...options, ...(await fetchToken()) });
  renew(task, client, fetchToken, task.token_secs * RENEWED_AT * 1000);
  client.on("connect", () => tell("connected"));
  // It reconnects by itself; without a listener an error would end the process.
  client.on("error", () => {});
  client.on("message", (_, payload) => tell("received", payload.toString()));
  await client.subscribeAsync(task.down, { qos: 1 });
  return {
    publish: (number) =>
      new Promise((resolve) => {
        client.publish(task.up, `${number}`, { qos: 1 }, (error) => resolve(error?.message));
      }),
  };
}
