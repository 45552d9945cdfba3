// A worker that misses nothing: jobs that come while it is away wait for it, and one that it has not finished comes again.

import { createClient } from "@cloudsignal/client";
import { auth, URL_OF_BROKER } from "./broker.mjs";

/** How long a job takes, milliseconds. */
const JOB_MILLIS = Number(process.env.JOB_MILLIS ?? 300);

const client = createClient({
  url: URL_OF_BROKER,
  auth: auth("worker@example.com"),
  // The server keeps the subscription and what comes for it under this name, for a day.
  clientId: process.env.WORKER_NAME ?? "node-worker",
  sessionExpiry: 86_400,
  // One job at a time: what is not acknowledged stays with the server.
  receiveMax: 1,
});
client.on("connected", ({ continuity }) => console.log(`connected (${continuity})`));
client.on("warning", (warning) => console.warn(warning));

const jobs = client.subscribe("jobs/:kind", { qos: 1 });
// The session stays, and with it the subscription.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => client.close());

for await (const { params, data, dup } of jobs) {
  console.log(`working on ${params.kind} ${data.id}${dup ? " (again, perhaps)" : ""}`);
  await new Promise((resolve) => setTimeout(resolve, JOB_MILLIS));
  await client.publish(`results/${params.kind}`, { id: data.id, worker: client.clientId });
  console.log(`done with ${params.kind} ${data.id}`);
} // Here a job is acknowledged: it is through, and its result is with the server.
