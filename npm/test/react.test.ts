import assert from "node:assert/strict";
import { test } from "node:test";
import { createElement as h, type FunctionComponent } from "react";
import { renderToString } from "react-dom/server";

import { Client } from "../src/client/client.js";
import type { Continuity } from "../src/client/state.js";
import { json } from "../src/messages/codec.js";
import type { Message } from "../src/messages/message.js";
import { optional } from "../src/messages/optional.js";
import { Subscription, type SubscribeOptions } from "../src/messages/subscription.js";
import { CloudSignalProvider, useConnection, useLatest, usePublish, useSubscription } from "../src/react.js";
import { latest, latestByTopic, list } from "../src/react/collector.js";
import { look, watch, type Ask, type FeedClient } from "../src/react/feed.js";
import { route } from "../src/topics/pattern.js";
import type { RawMessage } from "../src/wire/events.js";

const message = (topic: string, data: unknown) => ({ topic, data }) as Message<any, any>;

test("a list keeps the last messages", () => {
  const messages = list(2);
  for (const data of [1, 2, 3, 4, 5]) assert.ok(messages.put(message("a", data)));
  assert.deepEqual(messages.view().map(({ data }) => data), [4, 5]);
  assert.notEqual(messages.view(), messages.view());
  assert.equal(list(0).put(message("a", 1)), false);
});

test("the last message goes when it is cleared", () => {
  const last = latest();
  assert.ok(last.put(message("a", 1)));
  assert.equal(last.view()!.data, 1);
  assert.ok(last.put(message("a", undefined)));
  assert.equal(last.view(), undefined);
});

test("each topic has its last message, and there are not more topics than are allowed", () => {
  const topics = latestByTopic(2);
  for (const topic of ["a", "b", "a", "c"]) topics.put(message(topic, topic));
  const before = topics.view();
  assert.deepEqual([...before.keys()], ["b", "c"]);
  assert.ok(topics.put(message("b", undefined)));
  assert.equal(topics.put(message("never seen", undefined)), false);
  assert.deepEqual([[...before.keys()], [...topics.view().keys()]], [["b", "c"], ["c"]]);
});

/** Subscriptions of this package, fed by the test instead of a server. */
class Served implements FeedClient {
  readonly made: Subscription<any, any>[] = [];
  ended = 0;
  #end!: () => void;
  readonly hasEnded = new Promise<void>((resolve) => (this.#end = resolve));

  subscribe: FeedClient["subscribe"] = (pattern, options = {}) => {
    const end = async (subscription: Subscription<any, any>) => {
      this.ended += 1;
      this.#end();
      subscription.finish();
    };
    const codec = optional<any>({ options: { url: "" } });
    const warn = (warning: unknown) => assert.fail(`${warning}`);
    const subscription = new Subscription<any, any>(pattern, route(pattern), codec, options as SubscribeOptions<any>, { end, warn });
    this.made.push(subscription);
    return subscription;
  };

  #connected = new Set<(event: any) => void>();

  on: FeedClient["on"] = (name, listener) => {
    assert.equal(name, "connected");
    this.#connected.add(listener);
    return () => void this.#connected.delete(listener);
  };

  /** Answers how many have heard it. */
  connected(continuity: Continuity): number {
    for (const listener of this.#connected) listener({ continuity });
    return this.#connected.size;
  }

  publish(topic: string, text: string): void {
    const none = new Uint8Array();
    const raw = { topic, flags: 0, payload: new TextEncoder().encode(text), properties: none, delivery: 0, receivers: [1] };
    for (const subscription of this.made) subscription.offer(raw as unknown as RawMessage, undefined);
  }
}

const ask = (pattern: string): Ask<readonly Message[]> => ({ key: pattern, pattern, options: {}, collector: () => list(100) });

/** Answers the next change that a viewer is told. */
function changes(client: FeedClient, what: Ask<any>) {
  let count = 0;
  let heard = () => {};
  const leave = watch(client, what, { onChange: () => ((count += 1), heard()) });
  const next = () => new Promise<void>((resolve) => (heard = resolve));
  return { leave, next, count: () => count };
}

test("components that ask for the same share one subscription, and a burst is one change", async () => {
  const client = new Served();
  const [one, two] = [changes(client, ask("a/+")), changes(client, ask("a/+"))];
  const next = one.next();
  for (let number = 0; number < 50; number += 1) client.publish("a/b", `${number}`);
  assert.equal(one.count(), 0, "nothing is rendered in the middle of a burst");
  await next;
  assert.deepEqual([client.made.length, one.count(), two.count()], [1, 1, 1]);
  assert.equal(look<readonly Message[]>(client, "a/+")!.view.length, 50);
  const other = changes(client, ask("c"));
  assert.equal(client.made.length, 2);
  for (const { leave } of [one, two, other]) leave();
});

test("a subscription is given back when nobody sees it any more, and not before", async () => {
  const client = new Served();
  const first = changes(client, ask("a"));
  first.leave();
  const second = changes(client, ask("a")); // As `StrictMode` does it.
  assert.equal(client.made.length, 1);
  second.leave();
  assert.equal(client.ended, 0);
  await client.hasEnded;
  assert.deepEqual([client.ended, look(client, "a")], [1, undefined]);
});

test("what has one value is forgotten with the session, and what has happened is not", async () => {
  const client = new Served();
  const one: Ask<Message | undefined> = { key: "one", pattern: "a", options: {}, collector: latest };
  const all = { ...one, key: "all", collector: () => latestByTopic(2) };
  const viewers = [one, all, ask("a")].map((what) => changes(client, what));
  const see = () => [look<Message | undefined>(client, "one")!.view?.data, look<Map<string, Message>>(client, "all")!.view.size, look<Message[]>(client, "a")!.view.length];
  const after = async (changing: number, what: () => void) => {
    const changed = Promise.all(viewers.slice(0, changing).map(({ next }) => next()));
    what();
    await changed;
    return see();
  };
  assert.deepEqual(await after(3, () => client.publish("a", "1")), [1, 1, 1]);
  client.connected("resumed");
  assert.deepEqual(see(), [1, 1, 1]);
  assert.deepEqual(await after(2, () => client.connected("lost")), [undefined, 0, 1]);
  assert.deepEqual(await after(3, () => client.publish("a", "2")), [2, 1, 2]);
  for (const { leave } of viewers) leave();
  while (client.ended < viewers.length) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(client.connected("lost"), 0, "nobody listens any more");
});

test("a refused subscription is told, and asked for again by the next component", async () => {
  const client = new Served();
  const first = changes(client, ask("a"));
  const next = first.next();
  client.made[0]!.finish();
  await next;
  assert.equal(look(client, "a")!.status, "failed");
  first.leave();
  const second = changes(client, ask("a"));
  assert.deepEqual([client.made.length, look(client, "a")!.status], [2, "pending"]);
  second.leave();
});

test("a server renders without a connection, a module or a window", () => {
  const fail = () => assert.fail("nothing is loaded or opened");
  const client = new Client({ url: "wss://localhost" }, { load: fail, dial: fail });
  const Page: FunctionComponent = () => {
    const { kind } = useConnection();
    const { messages, status } = useSubscription("agents/:id/events", { onMessage: fail });
    const { data } = useLatest("agents/7/state", { codec: json<{ mood: string }>() });
    usePublish("agents/7/state");
    return h("p", null, `${kind}, ${messages.length}, ${status}, ${data?.mood}`);
  };
  const rendered = renderToString(h(CloudSignalProvider, { client, children: h(Page) }));
  assert.equal(rendered, "<p>idle, 0, idle, undefined</p>");
  assert.equal(client.state.kind, "idle");
  assert.throws(() => renderToString(h(Page)), /no <CloudSignalProvider>/);
});

test("parameters and data have types", () => {
  const Page: FunctionComponent = () => {
    const { messages } = useSubscription("agents/:id/*rest", { codec: json<{ mood: string }>() });
    for (const { params, data } of messages) {
      const texts: [string, string, string] = [params.id, params.rest, data.mood];
      // @ts-expect-error The pattern has no such name.
      texts.push(params.other);
    }
    return null;
  };
  const client = new Client({ url: "wss://localhost" }, { load: assert.fail, dial: assert.fail });
  assert.equal(renderToString(h(CloudSignalProvider, { client: () => client, children: h(Page) })), "");
});
