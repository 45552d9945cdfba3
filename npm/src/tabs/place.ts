// Where the hub of this page runs: in a shared worker or, where there is none, in one of the pages that are open.

import { runHub } from "./hub.js";
import { names } from "./protocol.js";
import type { Platform } from "../client/client.js";

/** What this page does for the hub of one name. A page does it once, however many clients it has. */
export interface Place {
  /** A hub is there, in that worker or in a page: from now on this page watches over it. */
  watch(worker: string | undefined): void;
}

/** Starts the worker of that name, unless it runs already. */
export type StartWorker = (name: string) => SharedWorker;

/** The name of a worker: how many were there before it, and the name of the connection. */
const workerName = (number: number, name: string) => `${number}:${name}`;
const numberOf = (workerName: string) => Number.parseInt(workerName, 10);
/** The name of the connection of a worker. */
export const connectionOf = (workerName: string): string => workerName.slice(workerName.indexOf(":") + 1);

/** A hub answers at once; so long is waited before another worker is started, milliseconds, and so often. */
const RETRY_MILLIS = 500;
const TRIES_MAX = 8;

const places = new Map<string, Place>();

/** Sees to it that there is a hub. `worker` starts one; it is absent where there are none, or where none is wanted. */
export function placeOf(name: string, platform: Platform, worker: StartWorker | undefined): Place {
  let place = places.get(name);
  if (!place) places.set(name, (place = worker ? new WorkerPlace(name, platform, worker) : elected(name, platform)));
  return place;
}

/** Whoever gets the lock is the hub, and the next one when it is gone. */
function elected(name: string, platform: Platform): Place {
  runHub(name, platform, undefined);
  return { watch: () => {} };
}

class WorkerPlace implements Place {
  readonly #name: string;
  readonly #platform: Platform;
  readonly #start: StartWorker;
  /** It lives for as long as a page refers to it. */
  #worker: SharedWorker | undefined;
  /** Its number, or that of the next one to try. */
  #number = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isWatching = false;
  #isElecting = false;

  constructor(name: string, platform: Platform, start: StartWorker) {
    this.#name = name;
    this.#platform = platform;
    this.#start = start;
    this.#begin(TRIES_MAX);
  }

  watch(worker: string | undefined): void {
    clearTimeout(this.#retry);
    if (worker && numberOf(worker) !== this.#number) this.#refer(numberOf(worker));
    if (this.#isWatching) return;
    this.#isWatching = true;
    // The hub has this lock for itself: who gets it with others is told that the hub has died.
    void navigator.locks.request(names(this.#name).hub, { mode: "shared" }, () => {
      this.#isWatching = false;
      this.#number += 1; // One that is just ending may be found under its name, and never answers.
      this.#begin(TRIES_MAX);
    });
  }

  #begin(tries: number): void {
    if (tries === 0) return this.#elect();
    this.#retry = setTimeout(() => {
      this.#number += 1;
      this.#begin(tries - 1);
    }, RETRY_MILLIS);
    this.#refer(this.#number);
  }

  #refer(number: number): void {
    this.#number = number;
    try {
      this.#worker = this.#start(workerName(number, this.#name));
      this.#worker.onerror = () => this.#elect(); // Its script cannot be had, or may not run.
    } catch {
      this.#elect();
    }
  }

  /** Without workers, pages do it. */
  #elect(): void {
    clearTimeout(this.#retry);
    if (this.#isElecting) return;
    this.#isElecting = true;
    runHub(this.#name, this.#platform, undefined);
  }
}
