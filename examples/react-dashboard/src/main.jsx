import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createClient } from "@cloudsignal/client";
import { CloudSignalProvider } from "@cloudsignal/client/react";
import { Dashboard } from "./dashboard.jsx";

async function askToken(signal) {
  const response = await fetch("/token", { method: "POST", signal });
  if (!response.ok) throw new Error(`no token: ${response.status}`);
  return response.json();
}

// Where the broker is comes with the first token, which the client then need not ask for.
let first = await askToken();
const client = createClient({
  url: first.url,
  auth: async ({ signal }) => {
    const { mqtt_credentials, expires_in } = first ?? (await askToken(signal));
    first = undefined;
    return { ...mqtt_credentials, expiresIn: expires_in };
  },
});

createRoot(document.querySelector("#root")).render(
  <StrictMode>
    <CloudSignalProvider client={client}>
      <Dashboard />
    </CloudSignalProvider>
  </StrictMode>,
);
