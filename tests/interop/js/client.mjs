// One MQTT.js client whose events feed queues, so that a scenario can await what it expects.

import { readFileSync } from "node:fs";
import mqtt from "mqtt";

// Far more than anything here takes; a scenario that waits so long has failed.
export const DEADLINE_MILLIS = 20_000;

const VERSIONS = { 3.1: 3, "3.1.1": 4, 5: 5 };

/** The broker answered CONNECT with a reason code other than success. */
export class Refused extends Error {
  constructor(code) {
    super(`refused with 0x${code.toString(16)}`);
    this.code = code;
  }
}

/** Events in the order they came; `take` awaits the next one. */
class Events {
  #waiting = [];
  #come = [];

  put(event) {
    const taker = this.#waiting.shift();
    if (taker) taker(null, event);
    else this.#come.push(event);
  }

  take(what) {
    if (this.#come.length > 0) return Promise.resolve(this.#come.shift());
    return answered(what, (done) => this.#waiting.push(done));
  }
}

/** What `start` hands to its callback, or an error that says what did not come. */
function answered(what, start) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`no ${what} within ${DEADLINE_MILLIS / 1000} s`)),
      DEADLINE_MILLIS,
    );
    start((error, value) => {
      clearTimeout(late);
      if (error) reject(error);
      else resolve(value);
    });
  });
}

/** A connected client. Every wait ends in the event or in an error that says what was awaited. */
export class Peer {
  messages = new Events();
  closes = new Events();
  pings = new Events();
  /** Reason code of the broker's DISCONNECT, if one came. */
  dismissal = null;

  static async connect(job, version, clientId, { login, properties, ...options } = {}) {
    const peer = new Peer();
    peer.name = clientId;
    peer.mqtt = mqtt.connect(job.url, {
      clientId,
      protocolVersion: VERSIONS[version],
      protocolId: version === "3.1" ? "MQIsdp" : "MQTT",
      username: login?.[0] ?? job.username,
      password: login?.[1] ?? job.password,
      // The broker's own authority, nothing else: the name and the chain are verified.
      ca: job.ca_file ? [readFileSync(job.ca_file)] : undefined,
      rejectUnauthorized: true,
      reconnectPeriod: 0,
      connectTimeout: DEADLINE_MILLIS,
      properties: version === "5" ? properties : undefined,
      ...options,
    });
    await peer.#opened();
    return peer;
  }

  async #opened() {
    const client = this.mqtt;
    const opening = new Events();
    client.on("connect", (connack) => opening.put({ connack }));
    client.on("error", (error) => opening.put({ error }));
    client.on("message", (topic, payload, packet) => this.messages.put({ ...packet, topic, payload }));
    client.on("disconnect", (packet) => (this.dismissal = packet.reasonCode));
    client.on("close", () => {
      opening.put({ error: new Error("closed before CONNACK") });
      this.closes.put(this.dismissal);
    });
    client.on("packetreceive", (packet) => {
      if (packet.cmd === "pingresp") this.pings.put(packet);
    });
    const { connack, error } = await opening.take("CONNACK");
    if (error) {
      client.end(true);
      throw typeof error.code === "number" ? new Refused(error.code) : error;
    }
    this.connack = connack;
  }

  /** Subscribes and gives the reason codes, granted QoS or failure. */
  subscribe(filters, options) {
    return answered("SUBACK", (done) => {
      this.mqtt.subscribe(filters, options, (error, _granted, suback) => {
        if (suback) done(null, suback.granted ?? suback.reasonCodes);
        else done(error);
      });
    });
  }

  unsubscribe(filter) {
    return this.mqtt.unsubscribeAsync(filter);
  }

  /** Publishes, awaits the end of the exchange and gives its reason code. */
  publish(topic, payload, qos = 0, options = {}) {
    return answered("end of the exchange", (done) => {
      this.mqtt.publish(topic, payload, { qos, ...options }, (error, packet) => {
        if (typeof error?.code === "number") done(null, error.code);
        else done(error, packet?.reasonCode ?? 0);
      });
    });
  }

  message() {
    return this.messages.take(`message for ${this.name}`);
  }

  async payloads(count) {
    const payloads = [];
    while (payloads.length < count) payloads.push((await this.message()).payload.toString());
    return payloads;
  }

  /** Awaits the end of the connection; gives the reason code of the broker's DISCONNECT, or null. */
  disconnected() {
    return this.closes.take(`end of the connection of ${this.name}`);
  }

  /** Awaits so many PINGRESP. */
  async pingsAnswered(count) {
    for (let index = 0; index < count; index += 1) await this.pings.take("PINGRESP");
  }

  /** Nothing has come: the next message is one that `from` publishes now. */
  async expectOnly(from, topic, marker = "marker") {
    await from.publish(topic, marker, 1);
    const got = (await this.message()).payload.toString();
    if (got !== marker) throw new Error(`${this.name}: ${got} came where nothing should`);
  }

  /** Leaves as one should, with DISCONNECT. */
  end() {
    return this.mqtt.endAsync();
  }

  /** Goes away without a word: the bytes end, no DISCONNECT before. */
  async cut() {
    this.mqtt.stream.destroy();
    await this.disconnected();
  }
}
