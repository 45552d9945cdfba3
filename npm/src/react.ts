// For React 18 and later. The client comes from another entry, and is given to the provider.

export { useConnection } from "./react/connection.js";
export type { FeedStatus } from "./react/feed.js";
export { CloudSignalProvider, useClient, type CloudSignalProviderProps } from "./react/provider.js";
export { usePublish, type PublishTo } from "./react/publish.js";
export {
  useLatest,
  useLatestByTopic,
  useSubscription,
  type LatestByTopicResult,
  type LatestResult,
  type SubscriptionResult,
  type UseLatestByTopicOptions,
  type UseOptions,
  type UseSubscriptionOptions,
} from "./react/subscription.js";
