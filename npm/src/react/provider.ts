import { createContext, createElement, useContext, useEffect, useState, type ReactElement, type ReactNode } from "react";

import type { Client } from "../client/client.js";

/** So long a client outlives the provider that has made it, milliseconds: `StrictMode` takes it away and brings it back. */
const LINGER_MILLIS = 250;

const ClientContext = createContext<Client | undefined>(undefined);

/** Who gets a client, and which. */
export interface CloudSignalProviderProps {
  /**
   * A client, which lives on when the provider is gone; or a function that makes one, called once, whose client is
   * closed with the provider.
   */
  client: Client | (() => Client);
  children?: ReactNode;
}

/** Gives the components below it a client, and connects it once it is mounted. */
export function CloudSignalProvider({ client, children }: CloudSignalProviderProps): ReactElement {
  const [made] = useState(() => (typeof client === "function" ? client() : undefined));
  const used = typeof client === "function" ? made : client;
  if (!used) throw new TypeError("the `client` of a CloudSignalProvider must not turn from a client into a function");
  useEffect(() => {
    if (used === made) return own(used);
    if (used.state.kind === "idle") used.connect();
    return undefined;
  }, [used, made]);
  return createElement(ClientContext.Provider, { value: used }, children);
}

const CLOSING = new WeakMap<Client, ReturnType<typeof setTimeout>>();

function own(client: Client): () => void {
  clearTimeout(CLOSING.get(client));
  client.connect();
  return () => void CLOSING.set(client, setTimeout(() => client.close(), LINGER_MILLIS));
}

/** The client of the nearest provider above. */
export function useClient(): Client {
  const client = useContext(ClientContext);
  if (!client) throw new Error("there is no <CloudSignalProvider> above this component");
  return client;
}
