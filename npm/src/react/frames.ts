/** A page that is not shown has no frames; then this is how often it renders, milliseconds. */
const HIDDEN_MILLIS = 100;

/** Calls back before the next frame is painted, or a little later where there is none. Answers how to call it off. */
export function beforeFrame(what: () => void): () => void {
  let frame: number | undefined;
  const cancel = () => {
    clearTimeout(timer);
    if (frame !== undefined) cancelAnimationFrame(frame);
  };
  const run = () => {
    cancel();
    what();
  };
  const timer = setTimeout(run, HIDDEN_MILLIS);
  if (typeof requestAnimationFrame === "function") frame = requestAnimationFrame(run);
  return cancel;
}
