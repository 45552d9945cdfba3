// What a server does for its users: tokens by `@cloudsignal/client/server`, in a project that has the package installed.
// Standard input holds the job.

import { text } from "node:stream/consumers";
import { inspect } from "node:util";
import { createClient } from "@cloudsignal/client";
import { TokenIssuer } from "@cloudsignal/client/server";
import { within } from "./scenarios.mjs";

const job = JSON.parse(await text(process.stdin));
const issuer = new TokenIssuer({ url: job.api, secretKey: job.secret_key });

function same(got, wanted, what) {
  const [left, right] = [got, wanted].map((it) => JSON.stringify(it));
  if (left !== right) throw new Error(`${what}: got ${left}, wanted ${right}`);
}

async function refused(what, promise) {
  const error = await promise.then(() => undefined, (error) => error);
  if (error?.code !== "refused") throw new Error(`${what}: ${error}`);
  if (inspect(error, { depth: 10 }).includes(job.secret_key)) throw new Error(`${what}: the key is shown`);
  return [error.status, error.error];
}

/** A client that logs in with a token, and what it is told when it cannot or may not any more. */
function client(token) {
  const login = token.mqtt_credentials;
  const client = createClient({ url: job.url, ...login });
  const closed = new Promise((resolve) => client.on("state", ({ kind, why }) => kind === "closed" && resolve(why)));
  return { client, closed };
}

const scenarios = {
  async a_token_lets_its_user_in_until_it_is_revoked() {
    const token = await issuer.create("ada@example.com", { lifetime: 60 });
    same(token.expires_in, 60, "lifetime");
    const { client: ada, closed } = client(token);
    same((await within("outcome", ada.publish("interop/issuer/a", 1))).kind, "acked", "outcome");
    await issuer.revoke({ tokenId: token.token_id });
    same(await within("the end", closed), "refused", "why");
    same(await refused("refresh", issuer.refresh(token)), [401, "token_revoked"], "refresh");
  },
  async a_refreshed_token_has_a_new_password() {
    const token = await issuer.create("bob@example.com");
    const fresh = await issuer.refresh(token);
    same([fresh.token_id, fresh.access_token === token.access_token], [token.token_id, false], "token");
    const { client: bob } = client(fresh);
    same((await within("outcome", bob.publish("interop/issuer/b", 1))).kind, "acked", "outcome");
    bob.close();
    await issuer.revoke({ userEmail: "bob@example.com" });
    same((await refused("refresh", issuer.refresh(fresh)))[0], 401, "refresh");
  },
  async grants_narrow_what_a_token_may_do() {
    const grants = [{ topic: "interop/issuer/own", action: "pub" }];
    const { client: eve } = client(await issuer.create("eve@example.com", { grants }));
    same((await within("outcome", eve.publish("interop/issuer/own", 1))).kind, "acked", "its own topic");
    same((await within("outcome", eve.publish("interop/issuer/other", 1))).kind, "rejected", "another topic");
    eve.close();
  },
  async what_the_server_refuses_is_said() {
    same(await refused("lifetime", issuer.create("ada@example.com", { lifetime: 1 })), [422, "invalid_value"], "lifetime");
    const stranger = new TokenIssuer({ url: job.api, secretKey: `${job.secret_key}x` });
    same((await refused("key", stranger.create("ada@example.com")))[0], 401, "key");
  },
};

for (const [scenario, run] of Object.entries(scenarios)) {
  const failure = await run().then(() => null, (error) => `${error.stack}`);
  console.log(JSON.stringify({ scenario, version: "5", error: failure }));
}
// Connections of a scenario that failed halfway must not keep the process.
process.exit(0);
