// The server of the chat: it knows who is logged in, and makes tokens for them. The secret keys never leave it.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { TokenIssuer, TokenIssuerError } from "@cloudsignal/client/server";
import { createServer as createVite } from "vite";

/** Each team is an organization of the broker: nothing goes from one to another. */
const TEAMS = process.env.CLOUDSIGNAL_TEAMS
  ? JSON.parse(process.env.CLOUDSIGNAL_TEAMS)
  : [{ name: "Team", secretKey: process.env.CLOUDSIGNAL_SECRET_KEY }];
const API_URL = process.env.CLOUDSIGNAL_API_URL ?? "http://localhost:18080";
/** Where pages connect to. */
const BROKER_URL = process.env.CLOUDSIGNAL_URL ?? "ws://localhost:18080/mqtt";
/** How long a token lives, seconds. The page renews it long before. */
const TOKEN_SECONDS = Number(process.env.CHAT_TOKEN_SECONDS ?? 3600);
const PORT = Number(process.env.PORT ?? 5173);
/** So many people are remembered; the one who logged in first is forgotten. */
const SESSIONS_MAX = 1000;
const NAME_CHARS_MAX = 40;
/** No page of ours sends more, bytes. */
const BODY_BYTES_MAX = 4096;
/** All that a member of the chat may do. */
const GRANTS = [{ topic: "chat/#", action: "pub+sub" }];

const issuers = new Map(TEAMS.map(({ name, secretKey }) => [name, new TokenIssuer({ url: API_URL, secretKey })]));
const sessions = new Map();

/** A real application asks for a password here. */
function logIn({ name, team }, response) {
  const isGood = typeof name === "string" && name.trim() !== "" && name.length <= NAME_CHARS_MAX && issuers.has(team);
  if (!isGood) return answer(response, 422, { error: "a name and one of the teams, please" });
  if (sessions.size >= SESSIONS_MAX) sessions.delete(sessions.keys().next().value);
  const id = randomUUID();
  sessions.set(id, { email: `${id}@chat.example`, team, token: undefined });
  response.setHeader("set-cookie", `chat=${id}; HttpOnly; SameSite=Strict; Path=/`);
  answer(response, 200, { team, url: BROKER_URL });
}

/** The page's `auth` function asks for this: a token at first, and a new password for it before it ends. */
async function makeToken({ reason }, response, session) {
  if (!session) return answer(response, 401, { error: "log in first" });
  const issuer = issuers.get(session.team);
  const renewed = reason === "expiring" && session.token && (await renew(issuer, session.token));
  session.token = renewed || (await issuer.create(session.email, { lifetime: TOKEN_SECONDS, grants: GRANTS }));
  console.log(`${renewed ? "renewed" : "made"} a token for ${session.email}`);
  answer(response, 200, session.token);
}

/** Nothing, when the page has slept until the token had ended. */
async function renew(issuer, token) {
  try {
    return await issuer.refresh(token);
  } catch (error) {
    if (error.code === "refused") return undefined;
    throw error;
  }
}

async function readJson(request) {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) {
    text += piece;
    if (text.length > BODY_BYTES_MAX) throw new SyntaxError("too long");
  }
  return JSON.parse(text);
}

async function post(request, response) {
  const id = /(?:^|; )chat=([^;]+)/.exec(request.headers.cookie ?? "")?.[1];
  try {
    const body = (await readJson(request)) ?? {};
    if (request.url === "/login") return logIn(body, response);
    if (request.url === "/token") return await makeToken(body, response, sessions.get(id));
    answer(response, 404, { error: "nothing is here" });
  } catch (error) {
    if (error instanceof SyntaxError) return answer(response, 400, { error: "no JSON, or too much of it" });
    console.error(error instanceof TokenIssuerError ? error.message : error);
    answer(response, 502, { error: "no token now" });
  }
}

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

const http = createServer((request, response) => {
  if (request.method === "POST") return void post(request, response);
  if (request.url === "/teams") return answer(response, 200, [...issuers.keys()]);
  vite.middlewares(request, response);
});
// Vite serves the page from its sources; `npm run build` makes the files that any web server can serve.
const vite = await createVite({ server: { middlewareMode: true, hmr: { server: http } }, appType: "spa" });
http.listen(PORT, "localhost", () => console.log(`open http://localhost:${http.address().port}`));
