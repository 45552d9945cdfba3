// What the chat does, without a word about how it looks.

import { createClient } from "@cloudsignal/client";
import { members, Presence } from "@cloudsignal/client/presence";

const MEMBERS = "chat/lobby/members";
const MESSAGES = "chat/lobby/messages";
const TYPING = "chat/lobby/typing";
/** One word about typing holds so long, milliseconds. */
const TYPING_MILLIS = 3000;

export class Chat {
  #presence = new Presence({ room: MEMBERS });
  #client;
  #members;
  #typing = new Map();
  #saidTyping = 0;

  constructor({ url, name, askToken }) {
    this.name = name;
    this.#client = createClient({
      url,
      will: this.#presence.will,
      auth: async ({ reason, signal }) => {
        const { mqtt_credentials, expires_in } = await askToken(reason, signal);
        return { ...mqtt_credentials, expiresIn: expires_in };
      },
    });
    this.#members = members(this.#client, MEMBERS);
    void this.#presence.join(this.#client, { name });
  }

  /** What this page is called among the members. */
  get me() {
    return this.#presence.member;
  }

  onState(listener) {
    this.#client.on("state", listener);
    listener(this.#client.state);
  }

  /** Calls back with the names of everybody who is there, whenever that has changed. */
  onMembers(listener) {
    this.#members.subscribe(() => {
      // What others write may be anything.
      const names = [...this.#members.current].map(([member, state]) => [member, `${state?.name ?? "?"}`]);
      listener(new Map(names));
    });
  }

  /** Calls back with each message. The last one is retained: whoever comes sees what was said before. */
  onMessage(listener) {
    this.#client.subscribe(MESSAGES, { qos: 1 }).on(({ data, retain }) => {
      const { id, from, name, text, at } = data ?? {};
      if (![id, from, name, text].every((it) => typeof it === "string") || !Number.isFinite(at)) return;
      this.#forgetTyping(from);
      listener({ id, from, name, text, at, isEarlier: retain });
    });
  }

  /** Calls back with the names of those who are typing. */
  onTyping(listener) {
    this.#tellTyping = () => listener([...this.#typing.values()].map(({ name }) => name));
    const typing = this.#client.subscribe(`${TYPING}/:member`, { qos: 0, noLocal: true });
    typing.on(({ params: { member }, data }) => {
      const name = `${data?.name ?? "?"}`;
      clearTimeout(this.#typing.get(member)?.timer);
      this.#typing.set(member, { name, timer: setTimeout(() => this.#forgetTyping(member), TYPING_MILLIS) });
      this.#tellTyping();
    });
  }

  #tellTyping = () => {};

  #forgetTyping(member) {
    clearTimeout(this.#typing.get(member)?.timer);
    if (this.#typing.delete(member)) this.#tellTyping();
  }

  /** Somebody types here. The others are told now and then. */
  typing() {
    const now = performance.now();
    if (now - this.#saidTyping < TYPING_MILLIS / 2) return;
    this.#saidTyping = now;
    void this.#client.publish(`${TYPING}/${this.me}`, { name: this.name }, { qos: 0 });
  }

  /** Sends a message. Answers the message, and what became of it. */
  send(text) {
    const message = { id: crypto.randomUUID(), from: this.me, name: this.name, text, at: Date.now() };
    this.#saidTyping = 0;
    return { message, outcome: this.#client.publish(MESSAGES, message, { retain: true }) };
  }

  async leave() {
    await this.#presence.leave();
    this.#client.close({ forget: true });
  }
}
