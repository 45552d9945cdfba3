/** One end of a channel. What is posted in one task arrives together. */
export class Channel<In, Out> {
  readonly #channel: BroadcastChannel;
  #waiting: Out[] = [];

  constructor(name: string, receive: (said: readonly In[]) => void) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }: MessageEvent<readonly In[]>) => receive(data);
  }

  post(what: Out): void {
    if (this.#waiting.push(what) === 1) queueMicrotask(this.#flush);
  }

  close(): void {
    this.#flush();
    this.#channel.close();
  }

  #flush = (): void => {
    if (this.#waiting.length === 0) return;
    const said = this.#waiting;
    this.#waiting = [];
    this.#channel.postMessage(said);
  };
}

/** Holds a lock until told to let it go, or until this page is gone. Resolved once it is held. */
export function holdLock(name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    navigator.locks.request(name, () => new Promise<void>((release) => resolve(release))).catch(reject);
  });
}
