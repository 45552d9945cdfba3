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

/** What the agents' client asks for tokens. */
async function auth({ signal }) {
  const { mqtt_credentials, expires_in } = await issuer.create("fleet@example.com", { signal });
  return { ...mqtt_credentials, expiresIn: expires_in };
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
const fleet = new Fleet(createClient({ url: BROKER_URL, auth }));
fleet.start();
http.listen(PORT, "localhost", () => console.log(`open http://localhost:${http.address().port}`));
