import assert from "node:assert/strict";
import { test } from "node:test";

import { route, type Params } from "../src/topics/pattern.js";

/** Compiles only if both are the same type. */
function sameType<A, B>(_: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false): void {}

test("names become wildcards, and levels become parameters", () => {
  const { filter, params } = route("agents/:id/state/*rest");
  assert.equal(filter, "agents/+/state/#");
  assert.deepEqual(params("agents/7/state/a/b"), { id: "7", rest: "a/b" });
  assert.deepEqual(params("agents/8/state"), { id: "8", rest: "" });
});

test("what has no name is MQTT", () => {
  assert.equal(route("a/+/#").filter, "a/+/#");
  assert.deepEqual(route("a/+/#").params("a/b/c"), {});
  assert.equal(route(":/*").filter, "+/#");
});

test("a shared subscription counts its levels behind the group", () => {
  const { filter, params } = route("$share/workers/jobs/:kind");
  assert.equal(filter, "$share/workers/jobs/+");
  assert.deepEqual(params("jobs/print"), { kind: "print" });
});

test("types follow the pattern", () => {
  sameType<Params<"agents/:id/*rest">, { readonly id: string; readonly rest: string }>(true);
  sameType<keyof Params<"a/+/#">, never>(true);
  sameType<Params<string>, Record<string, string>>(true);
});
