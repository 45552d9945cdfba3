// Where the broker is, and tokens for it. A worker outside of your own servers would ask one of them.

import { TokenIssuer } from "@cloudsignal/client/server";

export const URL_OF_BROKER = process.env.CLOUDSIGNAL_URL ?? "ws://localhost:18080/mqtt";

const issuer = new TokenIssuer({
  url: process.env.CLOUDSIGNAL_API_URL ?? "http://localhost:18080",
  secretKey: process.env.CLOUDSIGNAL_SECRET_KEY,
});

/** What a client asks for tokens. */
export function auth(email) {
  let token;
  return async ({ reason, signal }) => {
    const refreshes = reason === "expiring" && token;
    token = refreshes ? await issuer.refresh(token, { signal }) : await issuer.create(email, { signal });
    return { ...token.mqtt_credentials, expiresIn: token.expires_in };
  };
}
