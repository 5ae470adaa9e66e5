/** Which replicas there are, and how far each has come. */

import type { ChangeFeed } from "./cache-ports.ts";

/** Where replicas tell each other of themselves. */
export interface Replicas {
  /** Tells how far a replica has come, and that it is alive. @throws unavailable */
  report(id: string, applied: number): Promise<void>;
  /** How far the others have come that are alive. @throws unavailable */
  others(id: string): Promise<number[]>;
  /** @throws unavailable */
  remove(id: string): Promise<void>;
}

/** How many replicas have applied a change, of those that are alive. */
export interface Reached {
  applied: number;
  live: number;
}

/** A replica tells that it is alive this often, and counts as alive for so long after. In milliseconds. */
const HEARTBEAT_MS = 3000;
export const ALIVE_MS = 10_000;

/** Between two reports at least. */
const REPORT_PAUSE_MS = 100;

/** A report waits so long: right after a change all replicas have callers to answer. */
const REPORT_DELAY_MS = 20;

/** Whoever waits for others looks again after pauses that grow from and up to these. */
const SHORTEST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 250;

export interface ReplicaOptions {
  /** Told of a report that could not be made. */
  onFault?: (cause: unknown) => void;
}

/**
 * This process among its replicas. Nothing waits for its reports, of which one is
 * under way at most; one that cannot be made is made up for by the next.
 */
export class Replica {
  readonly #id: string;
  readonly #replicas: Replicas;
  readonly #feed: ChangeFeed;
  readonly #onFault: (cause: unknown) => void;
  /** There is something that was not reported yet. */
  #due = false;
  #reporting = false;
  /** The report that is under way. */
  #report = Promise.resolve();
  #heartbeat: NodeJS.Timeout | undefined;
  #looking: Promise<number[]> | undefined;
  #unsubscribe = () => {};

  /** @param id of this process alone, and of no other before or after it */
  constructor(
    id: string,
    replicas: Replicas,
    feed: ChangeFeed,
    { onFault = () => {} }: ReplicaOptions = {},
  ) {
    this.#id = id;
    this.#replicas = replicas;
    this.#feed = feed;
    this.#onFault = onFault;
  }

  /** Begins to report, once the feed has begun. */
  start(): void {
    const report = () => {
      this.#due = true;
      if (!this.#reporting) void this.#reportAll();
    };
    this.#unsubscribe = this.#feed.subscribe({ changed: report, lost: report });
    this.#heartbeat = setInterval(report, HEARTBEAT_MS).unref();
    report();
  }

  /**
   * Waits until all live replicas have applied a change: none of them answers
   * with what was before then. Tells how many have when all have, or the time is
   * over; undefined where nobody can tell.
   */
  async reached(
    revision: number,
    waitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Reached | undefined> {
    const until = performance.now() + waitMs;
    let reached: Reached | undefined;
    for (let ms = SHORTEST_PAUSE_MS; ; ms = Math.min(1.5 * ms, LONGEST_PAUSE_MS)) {
      const others = await this.#others().catch(() => undefined);
      if (others !== undefined) {
        const all = [this.#feed.applied, ...others];
        const applied = all.filter((each) => each >= revision).length;
        reached = { applied, live: all.length };
        if (applied === all.length) return reached;
      }
      const left = until - performance.now();
      if (left <= 0 || signal?.aborted) return reached;
      await pause(Math.min(ms, left));
    }
  }

  /** Takes leave of the others. */
  async close(): Promise<void> {
    if (this.#heartbeat === undefined) return;
    clearInterval(this.#heartbeat);
    this.#unsubscribe();
    this.#due = false;
    await this.#report;
    await this.#replicas.remove(this.#id).catch(this.#onFault);
  }

  async #reportAll(): Promise<void> {
    this.#reporting = true;
    while (this.#due) {
      await pause(REPORT_DELAY_MS);
      // Who has taken leave meanwhile must not come back.
      if (!this.#due) break;
      this.#due = false;
      this.#report = this.#replicas.report(this.#id, this.#feed.applied).catch(this.#onFault);
      await this.#report;
      await pause(REPORT_PAUSE_MS - REPORT_DELAY_MS);
    }
    this.#reporting = false;
  }

  /** However many wait, one of them looks. */
  #others(): Promise<number[]> {
    this.#looking ??= this.#replicas.others(this.#id).finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
