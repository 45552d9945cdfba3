import type { Client } from "../client/client.js";
import { CloudSignalError } from "../client/error.js";
import type { Will } from "../client/options.js";
import type { State } from "../client/state.js";
import type { Codec } from "../messages/codec.js";
import type { Qos } from "../messages/message.js";
import { optional } from "../messages/optional.js";
import type { Outcome } from "../messages/outcome.js";
import { checkMember, checkRoom } from "./levels.js";

/** How long a member may be gone without a word before it is taken off the list, seconds. */
const GRACE_SECONDS = 5;

export interface PresenceOptions<S> {
  /** The topic below which each member has one of its own: `rooms/1/members`. */
  room: string;
  /** What the member is called there, one level of a topic. Default: a name that nobody else has. */
  member?: string;
  /**
   * How long the member may be gone without a word, seconds: a short loss of the network is not seen by the others.
   * MQTT 5 only; before it there is none. Default: 5.
   */
  grace?: number;
  /** How the state is written. Default: the client's. */
  codec?: Codec<S>;
}

/**
 * This client as a member of a room: a retained message that others see, and a will with which the server takes it back
 * when the client is gone without a word. A will is said once, at CONNECT, and a connection has one. So the presence is
 * made before the client, which is given its `will`, and a client is a member of one room.
 */
export class Presence<S = unknown> {
  readonly room: string;
  readonly member: string;
  /** The topic of this member. */
  readonly topic: string;
  /** The `will` that the client must be made with. */
  readonly will: Will;
  readonly #codec: Codec<S> | undefined;
  #client: Client | undefined;
  #state: S | undefined;
  /** Ends what `join` listens to. */
  #stop: (() => void)[] = [];

  constructor({ room, member = crypto.randomUUID(), grace = GRACE_SECONDS, codec }: PresenceOptions<S>) {
    this.room = checkRoom(room);
    this.member = checkMember(member);
    this.topic = `${room}/${member}`;
    this.will = { topic: this.topic, payload: "", qos: 1, retain: true, delay: grace };
    this.#codec = codec;
  }

  /** Whether it has joined and not left. */
  get isJoined(): boolean {
    return this.#client !== undefined;
  }

  /**
   * Shows the others this member, now or as soon as the client is connected, and again after every loss, until it
   * leaves. What becomes of the first message is the answer; rejected when the client is closed before. Joined already,
   * it changes the state.
   */
  join(client: Client, state: S): Promise<Outcome> {
    if (client.options.will?.topic !== this.topic) {
      throw new TypeError("make the client with `will: presence.will`: without it a member that is gone would stay on the list");
    }
    if ((client as { isShared?: boolean }).isShared) {
      throw new TypeError("tabs that share a connection share its will: make a client of this tab's own for the presence");
    }
    if (this.#client === client) return this.update(state);
    if (this.#client) void this.leave();
    this.#client = client;
    this.#state = state;
    client.connect();
    return new Promise((resolve, reject) => {
      const tell = () => this.#say(this.#state).then(resolve, reject);
      const closed = ({ kind }: State) => kind === "closed" && reject(new CloudSignalError("closed", "the client is closed"));
      const gone = () => void this.#say(undefined, 0);
      this.#stop = [client.on("connected", tell), client.on("state", closed), client.onLeaving(gone), ...this.#onPage(gone, tell)];
      if (client.state.kind === "connected") tell();
    });
  }

  /** Shows the others another state of this member. */
  update(state: S): Promise<Outcome> {
    if (!this.#client) return Promise.reject(new TypeError("the member has not joined"));
    this.#state = state;
    // Said as soon as there is a connection, by `join`.
    return this.#client.state.kind === "connected" ? this.#say(state) : Promise.resolve(LATER);
  }

  /** Takes the member off the list. */
  async leave(): Promise<void> {
    const client = this.#client;
    if (!client) return;
    for (const stop of this.#stop) stop();
    const isConnected = client.state.kind === "connected";
    const said = this.#say(undefined);
    this.#client = undefined;
    this.#state = undefined;
    if (!isConnected) this.#sayOnceBack(client);
    await said;
  }

  /** What was on its way when the connection was lost is sent again, and this comes behind it. */
  #sayOnceBack(client: Client): void {
    const stop = client.on("connected", () => {
      stop();
      if (!this.#client) void this.#sayOn(client, undefined, this.#qos(client));
    });
  }

  /** What a store keeps could outlive the member. */
  #qos({ options }: Client): Qos {
    return options.store ? 0 : 1;
  }

  /**
   * Says it on this connection, or not at all: a word that waits in a queue, or in a store, could outlive the member. The
   * last word before the connection is closed is said at QoS 0: it leaves before the goodbye, which makes the server drop
   * the will, also when as many messages are on their way as may be.
   */
  async #say(state: S | undefined, qos?: Qos): Promise<Outcome> {
    const client = this.#client;
    if (client?.state.kind !== "connected") return LATER;
    return this.#sayOn(client, state, qos ?? this.#qos(client));
  }

  #sayOn(client: Client, state: S | undefined, qos: Qos): Promise<Outcome> {
    const codec = optional(client, this.#codec);
    return client.publish(this.topic, state, { qos, retain: true, codec });
  }

  /** A page that is left says so; one that comes back from the browser's cache is there again. */
  #onPage(gone: () => void, tell: () => void): (() => void)[] {
    if (typeof document === "undefined") return [];
    addEventListener("pagehide", gone);
    addEventListener("pageshow", tell);
    return [() => removeEventListener("pagehide", gone), () => removeEventListener("pageshow", tell)];
  }
}

/** Nobody is told now; it is said with the next connection. */
const LATER: Outcome = Object.freeze({ kind: "indeterminate" });
