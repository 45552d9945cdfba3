// Who is there, as the broker tells it: a member that says goodbye in any way is gone at once, one whose network is lost is
// gone some time later, and one that comes back is there again. What a killed page leaves is in the test of the chat.
// Standard input holds the job.

import { once } from "node:events";
import { connect, createServer } from "node:net";
import { text } from "node:stream/consumers";
import { createClient } from "@cloudsignal/client";
import { members, Presence } from "@cloudsignal/client/presence";
import { within } from "./scenarios.mjs";

const job = JSON.parse(await text(process.stdin));

/** A network between a client and the broker that can be lost. */
class Network {
  #sockets = new Set();
  #isThere = true;
  #server = createServer((near) => {
    if (!this.#isThere) return near.destroy();
    const far = connect(new URL(job.url).port, "localhost");
    for (const [socket, other] of [[near, far], [far, near]]) {
      this.#sockets.add(socket);
      socket.on("error", () => {}); // The end follows.
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });

  /** Answers the way through it. */
  async url() {
    await once(this.#server.listen(0, "localhost"), "listening");
    const url = new URL(job.url);
    url.port = this.#server.address().port;
    return url.href;
  }

  lose() {
    this.#isThere = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  find() {
    this.#isThere = true;
  }
}

class Room {
  #clients = [];

  constructor(version, about) {
    this.version = version;
    this.name = `interop/presence/${about}/${version}`;
    this.list = members(this.client(), this.name);
  }

  client(options = {}) {
    const { url, username, password } = job;
    const client = createClient({ url, username, password, protocol: this.version, ...options });
    this.#clients.push(client);
    return client;
  }

  /** Awaits a list with these members and states, and no others. */
  async shows(wanted) {
    const looking = async () => {
      for await (const list of this.list) {
        if (JSON.stringify([...list].sort()) === JSON.stringify(wanted)) return;
      }
      throw new Error("the list has ended");
    };
    await within(`list ${JSON.stringify(wanted)}`, looking());
  }

  close() {
    for (const client of this.#clients) client.close({ forget: true });
  }
}

async function come_and_go(room) {
  const [ada, bob] = ["ada", "bob"].map((member) => new Presence({ room: room.name, member }));
  const client = room.client({ will: ada.will });
  const { kind } = await within("outcome", ada.join(client, 1));
  if (kind !== "acked") throw new Error(`joined: ${kind}`);
  await within("outcome", bob.join(room.client({ will: bob.will }), 2));
  await room.shows([["ada", 1], ["bob", 2]]);
  await ada.update(3);
  await room.shows([["ada", 3], ["bob", 2]]);
  await bob.leave();
  await room.shows([["ada", 3]]);
  client.suspend();
  await room.shows([]);
  client.connect();
  await room.shows([["ada", 3]]);
  client.close();
  await room.shows([]);
}

async function lose_the_network(room) {
  const network = new Network();
  const ada = new Presence({ room: room.name, member: "ada", grace: 1 });
  const client = room.client({ url: await network.url(), will: ada.will, reconnect: { first: 20, max: 100 } });
  await within("outcome", ada.join(client, 1));
  await room.shows([["ada", 1]]);
  network.lose();
  await room.shows([]);
  // Who has not noticed the loss waits for its end.
  const updated = ada.update(2);
  network.find();
  await within("outcome", updated);
  await room.shows([["ada", 2]]);
  network.lose();
  await room.shows([]);
  const left = ada.leave();
  network.find();
  await within("outcome", left);
  // Behind anything that it would say as it comes back.
  await within("outcome", client.publish(`${room.name}/end`, 3, { retain: true }));
  await room.shows([["end", 3]]);
}

for (const version of ["3.1.1", "5"]) {
  for (const [scenario, play] of [["members_come_and_go", come_and_go], ["the_network_is_lost", lose_the_network]]) {
    const room = new Room(version, scenario);
    const error = await play(room).then(() => null, (error) => `${error.stack}`);
    room.close();
    console.log(JSON.stringify({ scenario, version, error }));
  }
}
// Connections of a scenario that failed halfway must not keep the process.
process.exit(0);
