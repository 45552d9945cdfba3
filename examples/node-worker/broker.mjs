// Where the broker is, and tokens for it. A worker outside of your own servers would ask one of them.

import { TokenIssuer } from "@cloudsignal/client/server";

export const URL_OF_BROKER = process.env.CLOUDSIGNAL_URL ?? "ws://localhost:18080/mqtt";

const issuer = new TokenIssuer({
  url: process.env.CLOUDSIGNAL_API_URL ?? "http://localhost:18080",
  secretKey: process.env.CLOUDSIGNAL_SECRET_KEY,
});

/** What a client asks for tokens. On a server that has the key, a new one each time is the simplest. */
export function auth(email) {
  return async ({ signal }) => {
    const { mqtt_credentials, expires_in } = await issuer.create(email, { signal });
    return { ...mqtt_credentials, expiresIn: expires_in };
  };
}
