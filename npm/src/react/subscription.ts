import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import type { Codec } from "../messages/codec.js";
import type { Message } from "../messages/message.js";
import { optional } from "../messages/optional.js";
import type { SubscribeOptions } from "../messages/subscription.js";
import type { Params } from "../topics/pattern.js";
import { latest, latestByTopic, list, type Collector } from "./collector.js";
import { look, watch, type FeedStatus, type Snapshot } from "./feed.js";
import { useClient } from "./provider.js";

const KEEP_MESSAGES = 100;
const TOPICS_MAX = 1000;

/** How a component subscribes. Components that say the same share one subscription. */
export interface UseOptions<T> extends Omit<SubscribeOptions<T>, "signal"> {
  /** How payloads are read. The one of the first render counts. Default: the client's. */
  codec?: Codec<T>;
}

export interface UseSubscriptionOptions<T, P> extends UseOptions<T> {
  /** How many messages are kept to be rendered. Default: 100; 0 when there is `onMessage`. */
  keep?: number;
  /** Called with each message as it comes, without a render. */
  onMessage?: (message: Message<T, P>) => void;
}

export interface UseLatestByTopicOptions<T> extends UseOptions<T> {
  /** Of so many topics the last message is kept; the topic that was first seen goes. Default: 1 000. */
  topicsMax?: number;
}

/** How the subscription stands. */
interface Standing {
  readonly status: FeedStatus;
  /** Why it has failed. */
  readonly error: Error | undefined;
}

export interface SubscriptionResult<T, P> extends Standing {
  /** The last messages, the newest at the end. */
  readonly messages: readonly Message<T, P>[];
}

export interface LatestResult<T, P> extends Standing {
  /** What the last message says; nothing while there is none, and after a retained message was cleared. */
  readonly data: T | undefined;
  /** The whole of it. */
  readonly message: Message<T, P> | undefined;
}

export interface LatestByTopicResult<T, P> extends Standing {
  /** By topic; those whose retained message was cleared are not there. In the order in which they came up. */
  readonly topics: ReadonlyMap<string, Message<T, P>>;
}

/**
 * The last messages of a pattern: for lists of events. With `onMessage` instead: for what happens without a render.
 * Without a pattern (`null`) nothing is subscribed.
 */
export function useSubscription<const Pattern extends string, T = unknown>(
  pattern: Pattern | null,
  options: UseSubscriptionOptions<T, Params<Pattern>> = {},
): SubscriptionResult<T, Params<Pattern>> {
  const keep = options.keep ?? (options.onMessage ? 0 : KEEP_MESSAGES);
  const { view, status, error } = useFeed(pattern, `list ${keep}`, () => list(keep), options, options.onMessage);
  return { messages: view ?? EMPTY, status, error };
}

/** The last message of a pattern: for what has one value, retained by the server. */
export function useLatest<const Pattern extends string, T = unknown>(
  pattern: Pattern | null,
  options: UseOptions<T> = {},
): LatestResult<T, Params<Pattern>> {
  const { view, status, error } = useFeed(pattern, "latest", latest, options);
  return { data: view?.data, message: view, status, error };
}

/** The last message of each topic that a pattern matches: for tables of things that have one value each. */
export function useLatestByTopic<const Pattern extends string, T = unknown>(
  pattern: Pattern | null,
  options: UseLatestByTopicOptions<T> = {},
): LatestByTopicResult<T, Params<Pattern>> {
  const max = options.topicsMax ?? TOPICS_MAX;
  const { view, status, error } = useFeed(pattern, `topics ${max}`, () => latestByTopic(max), options);
  return { topics: view ?? NO_TOPICS, status, error };
}

const EMPTY: readonly never[] = Object.freeze([]);
const NO_TOPICS: ReadonlyMap<string, any> = new Map();
const UNASKED: Snapshot<undefined> = { view: undefined, status: "idle", error: undefined, qos: undefined };
const ASKED: Snapshot<undefined> = { ...UNASKED, status: "pending" };

function useFeed<View>(
  pattern: string | null,
  kind: string,
  collector: () => Collector<View>,
  { qos, buffer, noLocal, retainAsPublished, retained, codec }: UseOptions<any>,
  onMessage?: (message: Message<any, any>) => void,
): Snapshot<View | undefined> {
  const client = useClient();
  // One that is made anew in every render must not subscribe anew in every render.
  const [own] = useState(() => codec);
  const key = JSON.stringify([kind, pattern, qos, buffer, noLocal, retainAsPublished, retained, own && nameOf(own)]);
  const handler = useRef(onMessage);
  useEffect(() => {
    handler.current = onMessage;
  });
  // The key says everything about what it asks for.
  const ask = useMemo(() => {
    const wanted = { qos, buffer, noLocal, retainAsPublished, retained, codec: optional(client, own) };
    const options = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
    return { key, pattern: pattern ?? "", options, collector };
  }, [client, key]);
  const subscribe = useCallback(
    (onChange: () => void) => {
      if (pattern === null) return () => {};
      return watch(client, ask, { onChange, onMessage: (message) => handler.current?.(message) });
    },
    [client, ask, pattern],
  );
  const see = () => (pattern === null ? UNASKED : (look<View>(client, key) ?? ASKED));
  return useSyncExternalStore<Snapshot<View | undefined>>(subscribe, see, () => UNASKED);
}

/** Codecs are told apart by who they are. */
const NAMES = new WeakMap<Codec<any>, number>();
let names = 0;

function nameOf(codec: Codec<any>): number {
  let name = NAMES.get(codec);
  if (name === undefined) NAMES.set(codec, (name = names += 1));
  return name;
}
