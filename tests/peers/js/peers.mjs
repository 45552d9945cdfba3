// In a page: what is measured, for each of the clients. An adapter offers `subscribe(filter, qos, onMessage)`, which ends
// with SUBACK, and `publish(topic, payload, qos)`, which for QoS 1 ends with PUBACK.

const PAYLOAD = new Uint8Array(64).fill(0x2e);

const ADAPTERS = {
  async cloudsignal(url) {
    const { createClient, binary } = await import("/client/index.js");
    const client = createClient({ url, codec: binary });
    // The others are connected by now, too.
    const connected = new Promise((resolve) => client.on("connected", resolve));
    client.connect();
    await connected;
    return {
      subscribe(filter, qos, onMessage) {
        const subscription = client.subscribe(filter, { qos, buffer: 1_000_000 });
        subscription.on(onMessage);
        return subscription.ready;
      },
      publish: (topic, payload, qos) => client.publish(topic, payload, { qos }),
    };
  },

  async mqttjs(url) {
    const { default: mqtt } = await import("/mqtt.js");
    const client = await mqtt.connectAsync(url);
    return {
      subscribe(filter, qos, onMessage) {
        client.on("message", onMessage);
        return client.subscribeAsync(filter, { qos });
      },
      publish: (topic, payload, qos) => new Promise((resolve) => client.publish(topic, payload, { qos }, resolve)),
    };
  },

  async paho(url) {
    // It is a script from before modules: it finds its place by itself.
    await new Promise((resolve, reject) => {
      const script = document.createElement("script");
      Object.assign(script, { src: "/paho.js", onload: resolve, onerror: reject });
      document.head.append(script);
    });
    const client = new Paho.Client(`${url}/`, "paho");
    const delivered = new Map();
    client.onMessageDelivered = (message) => {
      delivered.get(message)?.();
      delivered.delete(message);
    };
    await new Promise((onSuccess, onFailure) => client.connect({ onSuccess, onFailure }));
    return {
      subscribe(filter, qos, onMessage) {
        client.onMessageArrived = onMessage;
        return new Promise((onSuccess, onFailure) => client.subscribe(filter, { qos, onSuccess, onFailure }));
      },
      publish(topic, payload, qos) {
        const message = new Paho.Message(payload);
        message.destinationName = topic;
        message.qos = qos;
        if (qos === 0) return void client.send(message);
        return new Promise((resolve) => {
          delivered.set(message, resolve);
          client.send(message);
        });
      },
    };
  },
};

/** Until so many messages have come. */
function receive(client, { qos, width, count }) {
  let left = count;
  return new Promise((resolve, reject) => {
    const onMessage = () => {
      left -= 1;
      if (left === 0) resolve();
    };
    Promise.resolve(client.subscribe(`feed/${qos}/${width}/${count}`, qos, onMessage)).catch(reject);
  });
}

/** Until the far end has everything. The page keeps breathing: after some messages it is somebody else's turn. */
async function publishQos0(client, { count }, done) {
  for (let number = 0; number < count; number += 1) {
    void client.publish(`sink/${count}`, PAYLOAD, 0);
    if (number % 1000 === 999) await new Promise((resolve) => setTimeout(resolve));
  }
  await done;
}

/** Until everything is acknowledged; never more than `width` are on their way. */
async function publishQos1(client, { width, count }) {
  let next = 0;
  const lane = async () => {
    while (next < count) {
      next += 1;
      await client.publish(`sink/${count}`, PAYLOAD, 1);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
}

/** How long it takes, milliseconds. */
export async function measure(name, row, url) {
  const client = await ADAPTERS[name](url);
  let onDone;
  const done = new Promise((resolve) => (onDone = resolve));
  if (row.what === "publish") await client.subscribe("done", 0, onDone);
  const begin = performance.now();
  if (row.what === "receive") await receive(client, row);
  else if (row.qos === 0) await publishQos0(client, row, done);
  else await publishQos1(client, row);
  return performance.now() - begin;
}
