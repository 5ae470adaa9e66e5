/** A worker's side: what it tells the primary, and is told. */

import cluster from "node:cluster";
import type { Addresses, Exposition, FromPrimary, FromWorker, Snapshot } from "./messages.ts";

/** What a service shares with the other workers. */
export interface Shared {
  /** The history that all of them follow. */
  feed: {
    applied: number;
    subscribe(listener: { changed(): void; lost(): void }): () => void;
    catchUp(): Promise<void>;
  };
  snapshot(): Promise<Snapshot>;
}

/** The primary answers with what it has after less. */
const EXPOSITION_MS = 5000;

/** The workers that this one is one of. */
export class Fellows {
  /** Fulfilled when this worker is to stop; so it is when there is no primary any more. */
  readonly stop: Promise<void>;
  readonly #waiting = new Map<number, (exposition: Exposition) => void>();
  #shared: Shared | undefined;
  #asked = 0;

  constructor() {
    // Without this the process would end at once when the primary does.
    if (cluster.worker) cluster.worker.exitedAfterDisconnect = true;
    this.stop = new Promise((resolve) => {
      process.once("disconnect", resolve);
      process.on("message", (message: FromPrimary) => {
        if (message.promptd === "stop") resolve();
        else this.#hear(message);
      });
    });
  }

  /**
   * Begins to share. A change that is heard of here is told to the others, who then look into
   * the history for themselves: that it was told is a hint and no more.
   */
  join(shared: Shared): void {
    this.#shared = shared;
    const { feed } = shared;
    const tell = () => send({ promptd: "changed", revision: feed.applied });
    feed.subscribe({ changed: tell, lost: tell });
  }

  serving({ grpcAddress, httpAddress }: Addresses): void {
    send({ promptd: "serving", grpcAddress, httpAddress });
  }

  /** The metrics of all workers, added up. */
  exposition(): Promise<Exposition> {
    const id = this.#asked++;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error("the primary does not answer"));
      }, EXPOSITION_MS);
      this.#waiting.set(id, (exposition) => {
        clearTimeout(late);
        this.#waiting.delete(id);
        resolve(exposition);
      });
      send({ promptd: "ask_exposition", id });
    });
  }

  /** Before it serves; the primary learns it from its end. */
  leave(): void {
    if (process.connected) process.disconnect();
  }

  #hear(message: FromPrimary): void {
    switch (message.promptd) {
      case "changed":
        // Whatever goes wrong, the next look into the history makes up for.
        if (this.#shared && message.revision > this.#shared.feed.applied) {
          this.#shared.feed.catchUp().catch(() => {});
        }
        break;
      case "ask_snapshot":
        void this.#shared?.snapshot().then(
          (snapshot) => send({ promptd: "snapshot", id: message.id, snapshot }),
          () => {},
        );
        break;
      case "exposition":
        this.#waiting.get(message.id)?.(message.exposition);
        break;
    }
  }
}

function send(message: FromWorker): void {
  // Nobody need hear of a primary that has gone just now: `stop` tells.
  if (process.connected) process.send?.(message, undefined, {}, () => {});
}
