// Our browser package in Node, as it is.

import { createClient } from "@cloudsignal/client";

export async function connect(task, fetchToken, tell) {
  const client = createClient({
    url: task.url,
    auth: async () => ({ ...(await fetchToken()), expiresIn: task.token_secs }),
  });
  client.on("connected", () => tell("connected"));
  const down = client.subscribe(task.down);
  down.on(({ data }) => tell("received", data));
  await down.ready;
  return {
    async publish(number) {
      const outcome = await client.publish(task.up, number);
      return outcome.kind === "acked" ? undefined : JSON.stringify(outcome);
    },
  };
}
