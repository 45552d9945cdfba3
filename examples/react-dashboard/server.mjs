// The server of the dashboard: it makes tokens for the page, and plays the agents that are watched.

import { createServer } from "node:http";
import { createClient } from "@cloudsignal/client";
import { TokenIssuer } from "@cloudsignal/client/server";
import { createServer as createVite } from "vite";
import { Fleet } from "./fleet.mjs";

const API_URL = process.env.CLOUDSIGNAL_API_URL ?? "http://localhost:18080";
/** Where pages connect to. */
const BROKER_URL = process.env.CLOUDSIGNAL_URL ?? "ws://localhost:18080/mqtt";
const PORT = Number(process.env.PORT ?? 5173);

const issuer = new TokenIssuer({ url: API_URL, secretKey: process.env.CLOUDSIGNAL_SECRET_KEY });

/** A function that a client asks for tokens: each is refreshed before it ends. */
function auth(email, grants) {
  let token;
  return async ({ reason }) => {
    token = reason === "expiring" && token ? await issuer.refresh(token) : await issuer.create(email, { grants });
    return { ...token.mqtt_credentials, expiresIn: token.expires_in };
  };
}

/** A page may look at everything, and command the agents. */
const PAGE_GRANTS = [
  { topic: "agents/#", action: "sub" },
  { topic: "agents/+/command", action: "pub" },
];

const http = createServer(async (request, response) => {
  if (request.url !== "/token") return void vite.middlewares(request, response);
  try {
    // A real application looks here who is logged in.
    const token = await issuer.create("dashboard@example.com", { grants: PAGE_GRANTS });
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ ...token, url: BROKER_URL }));
  } catch (error) {
    console.error(error.message);
    response.writeHead(502).end();
  }
});

const vite = await createVite({ server: { middlewareMode: true, hmr: { server: http } }, appType: "spa" });
const fleet = new Fleet(createClient({ url: BROKER_URL, auth: auth("fleet@example.com") }));
fleet.start();
http.listen(PORT, "localhost", () => console.log(`open http://localhost:${http.address().port}`));
