// Who is there, as the broker tells it: a member that says goodbye in any way is gone at once, and one that comes back is
// there again. What a killed page leaves is in the test of the chat. Standard input holds the job.

import { text } from "node:stream/consumers";
import { createClient } from "@cloudsignal/client";
import { members, Presence } from "@cloudsignal/client/presence";
import { within } from "./scenarios.mjs";

const job = JSON.parse(await text(process.stdin));

class Room {
  #clients = [];

  constructor(version) {
    this.version = version;
    this.name = `interop/presence/${version}`;
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

for (const version of ["3.1.1", "5"]) {
  const room = new Room(version);
  const error = await come_and_go(room).then(() => null, (error) => `${error.stack}`);
  room.close();
  console.log(JSON.stringify({ scenario: "members_come_and_go", version, error }));
}
// Connections of a scenario that failed halfway must not keep the process.
process.exit(0);
