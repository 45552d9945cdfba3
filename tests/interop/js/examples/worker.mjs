// The worker, which is killed in the middle of a job, and is away while others come.

import { text } from "node:stream/consumers";
import { Program, same, tell } from "./example.mjs";

const job = JSON.parse(await text(process.stdin));

const worker = (millis) => new Program(job, "node-worker", "worker.mjs", { JOB_MILLIS: `${millis}` });

/** Gives jobs, and answers their names. */
async function submit(count) {
  const office = new Program(job, "node-worker", "submit.mjs", {}, [`${count}`]);
  const lines = await office.lines(/^(\S+): acked$/, count);
  same(await office.ended, 0, "the end of the office");
  return lines.map(([, id]) => id);
}

await tell("a_worker_that_is_killed_finishes_every_job_later", async () => {
  const killed = worker(1e8);
  await killed.lines(/^connected \(new\)$/);
  const [first] = await submit(1);
  const [[, begun]] = await killed.lines(/^working on print (\S+)$/);
  same(begun, first, "the job");
  same(await killed.end("SIGKILL"), "SIGKILL", "its end");

  const others = await submit(3);
  const next = worker(10);
  await next.lines(/^connected \(adopted\)$/);
  const done = await next.lines(/^done with print (\S+)$/, 4);
  same(done.map(([, id]) => id), [first, ...others], "what is done, in order");
  same(await next.end(), 0, "its end");

  const idle = worker(10);
  await idle.lines(/^connected \(adopted\)$/);
  const [last] = await submit(1);
  const [[, only]] = await idle.lines(/^done with print (\S+)$/);
  same(only, last, "nothing comes twice");
  same(await idle.end(), 0, "its end");
});
