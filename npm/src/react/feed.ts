import type { Client } from "../client/client.js";
import { reportUncaught } from "../client/emitter.js";
import type { Message, Qos } from "../messages/message.js";
import type { SubscribeOptions, Subscription } from "../messages/subscription.js";
import type { Collector } from "./collector.js";
import { beforeFrame } from "./frames.js";

/**
 * So long a subscription outlives its last component, milliseconds: one that replaces another, or is mounted twice as
 * `StrictMode` does it, finds it still there.
 */
const LINGER_MILLIS = 250;

/** How a subscription stands. */
export type FeedStatus =
  /** Nobody has been asked: there is no pattern, or this is a server that renders. */
  | "idle"
  /** The server has not answered yet. */
  | "pending"
  | "ready"
  /** It was refused, or the client is closed: see `error`. */
  | "failed";

/** What a component sees. It is another object whenever something in it has changed. */
export interface Snapshot<View> {
  readonly view: View;
  readonly status: FeedStatus;
  readonly error: Error | undefined;
  /** The granted QoS. */
  readonly qos: Qos | undefined;
}

/** A component that sees a feed. */
export interface Viewer {
  /** Called when there is another snapshot. */
  onChange(): void;
  /** Called with each message as it comes. */
  onMessage?(message: Message<any, any>): void;
}

/** What a feed needs of a client. */
export type FeedClient = Pick<Client, "subscribe" | "on">;

/** One subscription, and what is made of its messages, for all components that ask for the same. */
class Feed<View> {
  readonly #client: FeedClient;
  readonly #pattern: string;
  readonly #options: SubscribeOptions<any>;
  readonly #collector: Collector<View>;
  readonly #viewers = new Set<Viewer>();
  #subscription: Subscription<any, any> | undefined;
  #snapshot: Snapshot<View>;
  #cancelFrame: (() => void) | undefined;
  #stopListening: (() => void) | undefined;

  constructor(client: FeedClient, pattern: string, options: SubscribeOptions<any>, collector: Collector<View>) {
    this.#client = client;
    this.#pattern = pattern;
    this.#options = options;
    this.#collector = collector;
    this.#snapshot = { view: collector.view(), status: "pending", error: undefined, qos: undefined };
  }

  get snapshot(): Snapshot<View> {
    return this.#snapshot;
  }

  get isWatched(): boolean {
    return this.#viewers.size > 0;
  }

  add(viewer: Viewer): void {
    this.#viewers.add(viewer);
    if (!this.#subscription) this.#begin();
  }

  remove(viewer: Viewer): void {
    this.#viewers.delete(viewer);
  }

  end(): void {
    this.#cancelFrame?.();
    this.#stopListening?.();
    void this.#subscription?.unsubscribe();
  }

  #begin(): void {
    const subscription: Subscription<any, any> = this.#client.subscribe(this.#pattern, this.#options);
    this.#subscription = subscription;
    subscription.ready.then(
      (qos) => this.#show({ status: "ready", qos }),
      (error: Error) => this.#show({ status: "failed", error }),
    );
    subscription.on((message) => this.#onMessage(message));
    this.#stopListening = this.#client.on("connected", ({ continuity }) => {
      // What was cleared meanwhile was not told; what is retained is told again now.
      if ((continuity === "lost" || continuity === "new") && this.#collector.forget()) this.#showSoon();
    });
  }

  #onMessage(message: Message<any, any>): void {
    if (this.#collector.put(message)) this.#showSoon();
    for (const viewer of this.#viewers) {
      try {
        viewer.onMessage?.(message);
      } catch (error) {
        reportUncaught(error);
      }
    }
  }

  #showSoon(): void {
    this.#cancelFrame ??= beforeFrame(() => {
      this.#cancelFrame = undefined;
      this.#show({ view: this.#collector.view() });
    });
  }

  #show(change: Partial<Snapshot<View>>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const viewer of this.#viewers) viewer.onChange();
  }
}

/** The feeds of each client, by what was asked for. */
const FEEDS = new WeakMap<FeedClient, Map<string, Feed<any>>>();

/** Lets a viewer see a feed, which is made if nobody else sees it. Answers how to leave it. */
export function watch<View>(client: FeedClient, ask: Ask<View>, viewer: Viewer): () => void {
  let feeds = FEEDS.get(client);
  if (!feeds) FEEDS.set(client, (feeds = new Map()));
  const feed = feedFor(client, ask, feeds);
  feed.add(viewer);
  return () => {
    feed.remove(viewer);
    if (!feed.isWatched) setTimeout(() => abandon(feeds, ask.key, feed), LINGER_MILLIS);
  };
}

function feedFor<View>(client: FeedClient, ask: Ask<View>, feeds: Map<string, Feed<any>>): Feed<any> {
  const there = feeds.get(ask.key);
  if (there && (there.isWatched || there.snapshot.status !== "failed")) return there;
  const feed = new Feed(client, ask.pattern, ask.options, ask.collector());
  feeds.set(ask.key, feed);
  return feed;
}

/** Nobody has come back to it. */
function abandon(feeds: Map<string, Feed<any>>, key: string, feed: Feed<any>): void {
  if (feed.isWatched) return;
  if (feeds.get(key) === feed) feeds.delete(key);
  feed.end();
}

/** What there is to see of a feed; nothing while nobody sees it. */
export function look<View>(client: FeedClient, key: string): Snapshot<View> | undefined {
  return FEEDS.get(client)?.get(key)?.snapshot;
}

/** What a component asks for. Equal keys mean the same feed. */
export interface Ask<View> {
  readonly key: string;
  readonly pattern: string;
  readonly options: SubscribeOptions<any>;
  readonly collector: () => Collector<View>;
}
