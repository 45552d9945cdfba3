/** Calls back when the page is back: visible, shown again from the cache, or online. Answers how to stop. */
export function onWake(wake: () => void): () => void {
  if (typeof addEventListener !== "function") return () => {};
  const page = typeof document === "undefined" ? undefined : document;
  const seen = () => {
    if (page?.visibilityState === "visible") wake();
  };
  addEventListener("online", wake);
  addEventListener("pageshow", wake);
  page?.addEventListener("visibilitychange", seen);
  return () => {
    removeEventListener("online", wake);
    removeEventListener("pageshow", wake);
    page?.removeEventListener("visibilitychange", seen);
  };
}
