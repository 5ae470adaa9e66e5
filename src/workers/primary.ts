/** Several processes that serve on the same ports, and the one that keeps them. */

import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import type { Logger } from "pino";
import { within } from "../core/within.ts";
import { WorkerFailed } from "./failed.ts";
import type { Addresses, Exposition, FromPrimary, FromWorker } from "./messages.ts";
import { Snapshots } from "./snapshots.ts";

/** A worker that ends is replaced after a pause that doubles from and up to these until one serves. In milliseconds. */
const SHORTEST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;

/** A worker that hangs has no part in the metrics. */
const SNAPSHOT_MS = 1000;

/** Past its grace a worker has so long to let go of what is behind it, before it is killed. */
const LETTING_GO_MS = 5000;

export interface WorkersOptions {
  count: number;
  graceMs: number;
  log: Logger;
}

/** Workers that serve, until they are closed. */
export class Workers implements Addresses {
  readonly grpcAddress: string;
  readonly httpAddress: string;
  readonly #options: WorkersOptions;
  readonly #snapshots = new Snapshots();
  readonly #asked = new Map<number, Asked>();
  readonly #living = new Set<Worker>();
  readonly #replacements = new Set<NodeJS.Timeout>();
  #questions = 0;
  #failures = 0;
  #told = 0;
  #stopping = false;

  private constructor({ grpcAddress, httpAddress }: Addresses, options: WorkersOptions) {
    this.grpcAddress = grpcAddress;
    this.httpAddress = httpAddress;
    this.#options = options;
  }

  /**
   * Starts the first worker, which prepares the database, and then the others.
   *
   * @throws WorkerFailed where the first one ends before it serves
   */
  static async start(options: WorkersOptions): Promise<Workers> {
    // What is no number in metrics is none in JSON.
    cluster.setupPrimary({ serialization: "advanced" });
    const first = cluster.fork();
    const workers = new Workers(await served(first), options);
    workers.#keep(first, true);
    const others = Array.from({ length: options.count - 1 }, () => workers.#fork());
    await Promise.all(others);
    return workers;
  }

  /** Lets each worker finish the calls in flight. */
  async close(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#replacements) clearTimeout(timer);
    const ended = [...this.#living].map(async (worker) => {
      const exited = once(worker, "exit");
      tell(worker, { promptd: "stop" });
      const inTime = exited.then(() => true);
      if (await within(this.#options.graceMs + LETTING_GO_MS, inTime)) return;
      this.#options.log.warn({ worker: worker.process.pid }, "a worker hangs, and is killed");
      worker.process.kill("SIGKILL");
      await exited;
    });
    await Promise.all(ended);
  }

  /** Waits until it serves, or has ended. */
  async #fork(): Promise<void> {
    try {
      const worker = cluster.fork();
      this.#keep(worker, false);
      await served(worker).catch(() => {});
    } catch (err) {
      this.#lacks({ err }, false);
    }
  }

  #keep(worker: Worker, serves: boolean): void {
    let hasServed = serves;
    this.#living.add(worker);
    worker.on("message", (message: FromWorker) => {
      if (message.promptd === "serving") {
        hasServed = true;
        this.#failures = 0;
      } else {
        void this.#hear(worker, message);
      }
    });
    onEnd(worker, (why) => {
      this.#living.delete(worker);
      this.#snapshots.departed(worker.id);
      for (const { answered } of this.#asked.values()) answered(worker.id);
      this.#lacks({ worker: worker.process.pid, ...why }, hasServed);
    });
  }

  #lacks(why: object, hasServed: boolean): void {
    if (this.#stopping) return;
    this.#options.log.error(why, "a worker has ended, and is replaced");
    if (!hasServed) this.#failures++;
    this.#replace();
  }

  #replace(): void {
    const pause = Math.min(SHORTEST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    const timer = setTimeout(() => {
      this.#replacements.delete(timer);
      void this.#fork();
    }, pause);
    this.#replacements.add(timer);
  }

  async #hear(worker: Worker, message: FromWorker): Promise<void> {
    switch (message.promptd) {
      case "changed": {
        // All tell of each change once they have heard of it. After a restore it is left to them.
        const { revision } = message;
        if (revision <= this.#told) return;
        this.#told = revision;
        for (const other of this.#living) {
          if (other !== worker) tell(other, { promptd: "changed", revision });
        }
        break;
      }
      case "ask_exposition": {
        const exposition = await this.#exposition();
        tell(worker, { promptd: "exposition", id: message.id, exposition });
        break;
      }
      case "snapshot":
        this.#snapshots.saw(worker.id, message.snapshot);
        this.#asked.get(message.id)?.answered(worker.id);
        break;
    }
  }

  /** Of workers that do not answer in time it has what was seen of them last. */
  async #exposition(): Promise<Exposition> {
    const id = this.#questions++;
    const missing = new Set([...this.#living].map((worker) => worker.id));
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(late);
        this.#asked.delete(id);
        resolve();
      };
      const late = setTimeout(end, SNAPSHOT_MS);
      const answered = (worker: number) => {
        missing.delete(worker);
        if (missing.size === 0) end();
      };
      this.#asked.set(id, { answered });
      for (const worker of this.#living) tell(worker, { promptd: "ask_snapshot", id });
    });
    return this.#snapshots.exposition();
  }
}

/** A question to all workers. */
interface Asked {
  /** Told of a worker that has answered, or never will. */
  answered(worker: number): void;
}

/** Why a worker is there no more. */
interface EndOfWorker {
  code?: number | null;
  signal?: string | null;
  err?: Error;
}

/** Resolves once a worker serves. @throws WorkerFailed where it ends before */
function served(worker: Worker): Promise<Addresses> {
  return new Promise((resolve, reject) => {
    worker.on("message", (message: FromWorker) => {
      if (message.promptd === "serving") resolve(message);
    });
    onEnd(worker, ({ code, err }) => reject(err ?? new WorkerFailed(code ?? 1)));
  });
}

/** Told once of its end, and also where the system had no room for it. */
function onEnd(worker: Worker, ended: (why: EndOfWorker) => void): void {
  worker.once("exit", (code, signal) => ended({ code, signal }));
  worker.on("error", (err) => {
    if (worker.process.pid === undefined) ended({ err });
  });
}

function tell(worker: Worker, message: FromPrimary): void {
  // One that has gone just now is told of by its exit.
  if (worker.isConnected()) worker.send(message, undefined, () => {});
}
