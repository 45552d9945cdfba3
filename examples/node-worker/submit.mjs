// `npm run submit 5`: gives the worker five jobs, whether it is there or not.

import { createClient } from "@cloudsignal/client";
import { auth, URL_OF_BROKER } from "./broker.mjs";

const count = Number(process.argv[2] ?? 1);
if (!(Number.isInteger(count) && count > 0 && count <= 1000)) throw new Error("how many jobs, from 1 to 1000?");

const client = createClient({ url: URL_OF_BROKER, auth: auth("office@example.com"), sessionExpiry: 0 });
for (let at = 0; at < count; at += 1) {
  const id = `${Date.now()}-${at}`;
  const { kind, reason } = await client.publish("jobs/print", { id });
  console.log(`${id}: ${kind}${reason === 0x10 ? ", but nobody has subscribed" : ""}`);
}
client.close({ forget: true });
