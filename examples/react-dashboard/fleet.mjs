// Agents that do as if they worked: each has a retained state, tells what happens, and takes commands.

const NAMES = ["atlas", "beacon", "comet", "delta", "ember", "fjord"];
const JOBS = ["summarize", "translate", "classify", "extract", "review"];
/** How often something happens, milliseconds. */
const TICK_MILLIS = 700;

const pick = (list) => list[Math.floor(Math.random() * list.length)];

export class Fleet {
  #client;
  #agents = new Map(NAMES.map((id) => [id, { status: "idle", load: 0, done: 0 }]));

  constructor(client) {
    this.#client = client;
  }

  start() {
    for (const id of this.#agents.keys()) this.#say(id);
    this.#client.subscribe("agents/:id/command", { qos: 1 }).on(({ params: { id }, data }) => this.#obey(id, data));
    setInterval(() => this.#work(pick(NAMES)), TICK_MILLIS);
  }

  #obey(id, command) {
    const agent = this.#agents.get(id);
    if (!agent || !["pause", "resume"].includes(command)) return;
    Object.assign(agent, command === "pause" ? { status: "paused", load: 0 } : { status: "idle" });
    this.#say(id);
    this.#tell(id, command === "pause" ? "paused" : "resumed");
  }

  #work(id) {
    const agent = this.#agents.get(id);
    if (agent.status === "paused") return;
    if (agent.status === "busy") {
      Object.assign(agent, { status: "idle", load: 0, done: agent.done + 1 });
      this.#tell(id, "finished");
    } else {
      Object.assign(agent, { status: "busy", load: 20 + Math.floor(Math.random() * 80) });
      this.#tell(id, `started to ${pick(JOBS)}`);
    }
    this.#say(id);
  }

  #say(id) {
    void this.#client.publish(`agents/${id}/state`, this.#agents.get(id), { retain: true });
  }

  #tell(id, what) {
    void this.#client.publish(`agents/${id}/events`, { what, at: Date.now() }, { qos: 0 });
  }
}
