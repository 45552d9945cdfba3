import { useCallback, useEffect, useRef } from "react";

import type { Client, PublishOptions } from "../client/client.js";
import type { Outcome } from "../messages/outcome.js";
import { useClient } from "./provider.js";

/** Publishes to one topic. */
export type PublishTo = (data: unknown, options?: PublishOptions) => Promise<Outcome>;

/** `publish` of the client, or, with a topic, the same for that topic. It is the same function in every render. */
export function usePublish(): Client["publish"];
export function usePublish(topic: string, options?: PublishOptions): PublishTo;
export function usePublish(topic?: string, options?: PublishOptions): Client["publish"] | PublishTo {
  const client = useClient();
  const defaults = useRef(options);
  useEffect(() => {
    defaults.current = options;
  });
  const publish = useCallback<Client["publish"]>((...args) => client.publish(...args), [client]);
  const publishTo = useCallback<PublishTo>(
    (data, more) => client.publish(topic ?? "", data, { ...defaults.current, ...more }),
    [client, topic],
  );
  return topic === undefined ? publish : publishTo;
}
