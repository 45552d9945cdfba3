import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { inspect } from "node:util";

import { TokenIssuer, TokenIssuerError, type IssuerErrorCode, type IssuerOptions } from "../src/server.js";

const SECRET = "sk_do_not_show";
const TOKEN = {
  access_token: "tkn_1",
  expires_in: 3600,
  mqtt_credentials: { username: "ada@org", password: "tkn_1" },
  token_id: "t1",
  user_email: "ada@example.com",
  expires_at: "2030-01-01T00:00:00Z",
  refresh_recommended_at: "2029-12-31T23:48:00Z",
};

interface Asked {
  readonly path: string;
  readonly key: string | undefined;
  readonly body: unknown;
}

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const json = (status: number, body: unknown, headers: Record<string, string> = {}): Answer => (response) =>
  void response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

/** A server that gives these answers, one after another; the last one again and again. */
async function world(context: TestContext, answers: Answer[], options: Partial<IssuerOptions> = {}) {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const piece of request) text += piece;
    const answer = answers[Math.min(asked.length, answers.length - 1)]!;
    asked.push({ path: request.url!, key: request.headers.authorization, body: JSON.parse(text) });
    answer(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => (server.closeAllConnections(), server.close()));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { asked, url, issuer: new TokenIssuer({ url, secretKey: SECRET, ...options }) };
}

async function fails(what: Promise<unknown>, code: IssuerErrorCode): Promise<TokenIssuerError> {
  const error = await what.then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof TokenIssuerError, `${error}`);
  assert.equal(error.code, code);
  assert.ok(!inspect(error, { depth: 10 }).includes(SECRET), "the key is shown");
  return error;
}

test("tokens are made, refreshed and revoked as the API wants it", async (context) => {
  const empty: Answer = (response) => void response.writeHead(204).end();
  const { asked, issuer } = await world(context, [json(200, TOKEN), json(200, TOKEN), empty, empty]);
  const grants = [{ topic: "rooms/1/#", action: "pub+sub" }] as const;
  const token = await issuer.create("ada@example.com", { lifetime: 60, grants, replaceExisting: true });
  assert.deepEqual(token, TOKEN);
  await issuer.refresh(token);
  await issuer.revoke({ tokenId: "t1" });
  await issuer.revoke({ userEmail: "ada@example.com" });
  assert.deepEqual(asked.map(({ path, body }) => [path, body]), [
    ["/v2/tokens/create", { user_email: "ada@example.com", ttl: 60, scope: grants, replace_existing: true }],
    ["/v2/tokens/refresh", { token_id: "t1", current_token_password: "tkn_1" }],
    ["/v2/tokens/revoke", { token_id: "t1" }],
    ["/v2/tokens/revoke", { user_email: "ada@example.com" }],
  ]);
  assert.deepEqual(new Set(asked.map(({ key }) => key)), new Set([`Bearer ${SECRET}`]));
});

test("a refusal says what the server says, and what to do", async (context) => {
  const body = { error: "invalid_credentials", error_description: `who is ${SECRET}?` };
  const { asked, issuer } = await world(context, [json(401, body), json(418, "no object"), json(500, null)]);
  const error = await fails(issuer.create("ada@example.com"), "refused");
  assert.deepEqual([error.status, error.error, error.retryAfter], [401, "invalid_credentials", undefined]);
  assert.match(error.message, /who is sk_…\?.*secret key/);
  assert.equal((await fails(issuer.create("ada@example.com"), "refused")).status, 418);
  assert.equal((await fails(issuer.create("ada@example.com"), "refused")).status, 500);
  assert.equal(asked.length, 3, "nothing but a busy server is asked again");
});

test("a busy server is asked again, as late as it wants and as often as is allowed", async (context) => {
  const soon = { "retry-after": "0" };
  const { asked, issuer } = await world(context, [json(429, {}, soon), json(503, {}), json(200, TOKEN), json(503, {}, soon)]);
  assert.deepEqual(await issuer.create("ada@example.com"), TOKEN);
  assert.equal(asked.length, 3);
  assert.equal((await fails(issuer.create("ada@example.com"), "refused")).status, 503);
  assert.equal(asked.length, 3 + 1 + 3);
});

test("nobody waits longer than a call may take", async (context) => {
  const { asked, issuer } = await world(context, [json(429, {}, { "retry-after": "3600" })]);
  assert.equal((await fails(issuer.create("ada@example.com"), "refused")).retryAfter, 3600);
  assert.equal(asked.length, 1);
  const silent = await world(context, [() => {}], { timeout: 50 });
  await fails(silent.issuer.create("ada@example.com"), "timeout");
  const dribbling = await world(context, [(response) => void response.writeHead(200).write("{")], { timeout: 50 });
  await fails(dribbling.issuer.create("ada@example.com"), "timeout");
});

test("a signal gives a call up", async (context) => {
  const controller = new AbortController();
  const stop: Answer = () => controller.abort(new Error("enough"));
  const { issuer } = await world(context, [stop]);
  await assert.rejects(issuer.create("ada@example.com", { signal: controller.signal }), { message: "enough" });
  const late = new AbortController();
  const pausing = await world(context, [(response, request) => {
    json(503, {}, { "retry-after": "5" })(response, request);
    setImmediate(() => late.abort(new Error("late")));
  }]);
  await assert.rejects(pausing.issuer.create("ada@example.com", { signal: late.signal }), { message: "late" });
});

test("what is no token is not taken for one", async (context) => {
  const large: Answer = (response) => void response.writeHead(200).end("x".repeat(100_000));
  const html: Answer = (response) => void response.writeHead(200).end("<!doctype html>");
  const { issuer } = await world(context, [html, json(200, { access_token: "x" }), json(200, null), large]);
  for (let at = 0; at < 4; at += 1) await fails(issuer.create("ada@example.com"), "nonsense");
});

test("the key goes nowhere else", async (context) => {
  const elsewhere = await world(context, [json(200, TOKEN)]);
  const redirect: Answer = (response) => void response.writeHead(307, { location: `${elsewhere.url}/v2/tokens/create` }).end();
  const { issuer } = await world(context, [redirect]);
  await fails(issuer.create("ada@example.com"), "unreachable");
  assert.equal(elsewhere.asked.length, 0);
  assert.ok(![inspect(issuer, { depth: 10, showHidden: true }), JSON.stringify(issuer)].join().includes(SECRET));
  await fails(new TokenIssuer({ url: "http://127.0.0.1:9", secretKey: SECRET }).create("ada@example.com"), "unreachable");
});

test("what cannot be meant is refused at once", async () => {
  const url = "https://localhost:8443";
  for (const options of [
    { url, secretKey: undefined as unknown as string },
    { url, secretKey: "" },
    { url, secretKey: `${SECRET}\n` },
    { url: "localhost:8443", secretKey: SECRET },
    { url: "https://me:you@localhost", secretKey: SECRET },
    { url, secretKey: SECRET, timeout: 0 },
    { url, secretKey: SECRET, retries: 1000 },
  ]) {
    await fails((async () => new TokenIssuer(options))(), "invalid");
  }
  await fails(new TokenIssuer({ url, secretKey: SECRET }).create(""), "invalid");
  await fails(new TokenIssuer({ url, secretKey: SECRET }).revoke({ userEmail: undefined as unknown as string }), "invalid");
});

test("a page gets no issuer", async () => {
  const scope = globalThis as { document?: unknown };
  scope.document = {};
  try {
    const error = await fails((async () => new TokenIssuer({ url: "https://a", secretKey: SECRET }))(), "browser");
    assert.match(error.message, /for servers/);
  } finally {
    delete scope.document;
  }
});
