// Runs every scenario in Node, in a project that has the package installed. Standard input holds the job.

import { text } from "node:stream/consumers";
import * as library from "@cloudsignal/client";
import { run } from "./scenarios.mjs";

const job = JSON.parse(await text(process.stdin));
const hasOwn = typeof WebSocket === "function";
if (hasOwn !== job.has_websocket) throw new Error(`a global WebSocket is ${hasOwn ? "" : "not "}there`);
await run({ ...job, place: hasOwn ? "own" : "ws" }, library, (outcome) => console.log(JSON.stringify(outcome)));
// Connections of a scenario that failed halfway must not keep the process.
process.exit(0);
