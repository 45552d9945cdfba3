/** Does it at the first call; after a failure, at the next one again. */
export function once<T>(what: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= what().catch((error: unknown) => {
      result = undefined;
      throw error;
    });
    return result;
  };
}
