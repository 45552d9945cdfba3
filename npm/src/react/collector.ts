import type { Message } from "../messages/message.js";

/** What is made of the messages of a pattern for those who render them. */
export interface Collector<View> {
  /** Takes a message. Answers whether the view has changed. */
  put(message: Message<any, any>): boolean;
  /** The server has lost the session: what has one value may have another by now, or none. Answers as `put` does. */
  forget(): boolean;
  /** What is there now: another object whenever it has changed. */
  view(): View;
}

/** The last messages, the newest at the end; an older one goes when there are more than `keep`. */
export function list(keep: number): Collector<readonly Message<any, any>[]> {
  let messages: Message<any, any>[] = [];
  return {
    put(message) {
      if (keep === 0) return false;
      messages.push(message);
      if (messages.length >= 2 * keep) messages = messages.slice(-keep); // Seldom, so that it costs nothing each time.
      return true;
    },
    forget: () => false, // What has happened has happened.
    view: () => messages.slice(-keep),
  };
}

/** The last message; none when it was empty, which is how a retained message is cleared. */
export function latest(): Collector<Message<any, any> | undefined> {
  let last: Message<any, any> | undefined;
  return {
    put(message) {
      last = message.data === undefined ? undefined : message;
      return true;
    },
    forget() {
      const had = last !== undefined;
      last = undefined;
      return had;
    },
    view: () => last,
  };
}

/** The last message of each topic. Of more than `topicsMax` the topic goes that was first seen. */
export function latestByTopic(topicsMax: number): Collector<ReadonlyMap<string, Message<any, any>>> {
  const topics = new Map<string, Message<any, any>>();
  return {
    put(message) {
      if (message.data === undefined) return topics.delete(message.topic);
      topics.set(message.topic, message);
      if (topics.size > topicsMax) topics.delete(topics.keys().next().value!);
      return true;
    },
    forget() {
      const had = topics.size > 0;
      topics.clear();
      return had;
    },
    view: () => new Map(topics),
  };
}
