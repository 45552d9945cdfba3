import type { Dialer } from "./transport.js";

/** Opens the browser's own sockets. */
export const dial: Dialer = (url) => new WebSocket(url, "mqtt");
