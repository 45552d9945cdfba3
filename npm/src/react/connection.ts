import { useCallback, useSyncExternalStore } from "react";

import type { State } from "../client/state.js";
import { useClient } from "./provider.js";

const IDLE: State = { kind: "idle" };

/** What the client is doing. While a server renders: nothing yet. */
export function useConnection(): State {
  const client = useClient();
  const subscribe = useCallback((onChange: () => void) => client.on("state", onChange), [client]);
  return useSyncExternalStore(subscribe, () => client.state, () => IDLE);
}
