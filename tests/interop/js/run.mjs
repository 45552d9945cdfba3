// Runs every scenario for the versions that are asked for and prints one JSON line per outcome.
//
// Standard input holds the job: url, ca_file, username, password, org_id, foreign_org_id, versions, and, to run a
// part only, `only` (a list of scenario names).

import { text } from "node:stream/consumers";
import { Peer, Refused } from "./client.mjs";
import { scenarios } from "./scenarios.mjs";

/** What a scenario works with: peers and topics that no other scenario uses. */
class World {
  #peers = [];

  constructor(job, version, name, number) {
    Object.assign(this, { job, version, name: `${name}-${version}`, number });
  }

  topic(suffix) {
    return ["interop", "js", this.name, suffix].filter(Boolean).join("/");
  }

  async peer(name, options) {
    // MQTT 3.1 allows 23 characters.
    const clientId = `${name}-js-${this.number}-${this.version}`;
    const peer = await Peer.connect(this.job, this.version, clientId, options);
    this.#peers.push(peer);
    return peer;
  }

  /** The reason code that a CONNECT with this login is refused with. */
  async refusal(login) {
    try {
      await this.peer("refused", { login });
    } catch (error) {
      if (error instanceof Refused) return error.code;
      throw error;
    }
    throw new Error(`${login[0]} was let in`);
  }

  async close() {
    for (const peer of this.#peers) if (!peer.mqtt.disconnected) await peer.end();
  }
}

const job = JSON.parse(await text(process.stdin));
for (const version of job.versions) {
  for (const [number, { name, versions, run }] of scenarios.entries()) {
    if (!versions.includes(version) || (job.only && !job.only.includes(name))) continue;
    const world = new World(job, version, name, number);
    let error = null;
    try {
      await run(world);
    } catch (failure) {
      error = failure.stack;
    }
    await world.close();
    console.log(JSON.stringify({ scenario: name, version, error }));
  }
}
// Connections of a scenario that failed halfway must not keep the process.
process.exit(0);
