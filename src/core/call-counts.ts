/** How often each version was the answer: counted in memory, and written behind. */

import type { Answered, AnswerListener } from "./answered.ts";
import { type CallCount, CallTally } from "./call-tally.ts";
import type { Caller } from "./ports.ts";
import { within } from "./within.ts";

/** A part of what one process has counted. */
export interface CountBatch {
  /** A UUID (version 7), of the process. */
  writer: string;
  /** Counts up by one with each batch of the process. One that is sent again keeps it. */
  number: number;
  /** Each of something else, at most 200. */
  counts: readonly CallCount[];
}

/** Where all processes add up their counts. */
export interface CallCountStore {
  /**
   * Adds a batch, unless it was added before: it is sent again where nobody knows
   * what became of it. A process sends its batches in order of number.
   *
   * @throws unavailable
   */
  add(batch: CountBatch): Promise<void>;
}

/** Labels and arms that are told of one version, the most frequent first; clients report no more. */
export const MOST_BY = 100;

/** How often a version was the answer, over all processes. */
export interface VersionCalls {
  calls: number;
  /** The most frequent first, at most `MOST_BY`. */
  by: readonly Pick<CallCount, "label" | "arm" | "calls">[];
}

export interface CallCountLookup {
  /** By version; those that were never the answer are missing. @throws unavailable */
  of(
    caller: Caller,
    name: string,
    versions: readonly number[],
  ): Promise<ReadonlyMap<number, VersionCalls>>;
}

/** Between two writes, in milliseconds. */
const WRITE_MS = 3000;

/** How long the last write is tried, in milliseconds, and how long it pauses in between. */
const LAST_WRITE_MS = 1500;
const AGAIN_MS = 100;

/** In one batch. */
const AT_ONCE = 200;

/** Different counts that wait for a write: with so many it is made at once, and with so many no more are taken. */
const MANY_COUNTS = 5000;
const MOST_COUNTS = 10_000;

export interface CallCountsOptions {
  /** A UUID (version 7), of this process alone. */
  writer: string;
  /** Told of a write that could not be made. */
  onFault?: (cause: unknown) => void;
}

/**
 * Counts the calls that this process answers. What cannot be written is kept, and sent
 * again as it was before anything that was counted since.
 */
export class CallCounts implements AnswerListener {
  readonly #store: CallCountStore;
  readonly #writer: string;
  readonly #onFault: (cause: unknown) => void;
  /** Since counts were taken to be written. */
  #tally = new CallTally(MOST_COUNTS);
  /** What was taken and is not written. */
  #batches: CountBatch[] = [];
  #lastNumber = 0;
  /** Of tallies that were taken. */
  #lost = 0;
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(store: CallCountStore, { writer, onFault = () => {} }: CallCountsOptions) {
    this.#store = store;
    this.#writer = writer;
    this.#onFault = onFault;
  }

  /** Calls that wait to be written. */
  get unwritten(): number {
    const batched = this.#batches.flatMap(({ counts }) => counts);
    return [...batched, ...this.#tally.counts].reduce((sum, { calls }) => sum + calls, 0);
  }

  /** Calls that were not counted, because too many different counts waited to be written. */
  get lost(): number {
    return this.#lost + this.#tally.beyond;
  }

  answered(answered: Pick<Answered, "caller" | "resolved">): void {
    this.#tally.answered(answered);
    // While some cannot be written, the next write is soon enough.
    if (this.#tally.size >= MANY_COUNTS && this.#batches.length === 0) void this.write();
  }

  /** Begins to write, once there is a place to write to. */
  start(): void {
    this.#timer = setInterval(() => void this.write(), WRITE_MS).unref();
  }

  /** Writes what was counted, or what could not be written before. One write is under way at most. */
  write(): Promise<void> {
    this.#writing ??= this.#write()
      .catch(this.#onFault)
      .finally(() => {
        this.#writing = undefined;
      });
    return this.#writing;
  }

  /**
   * Writes the last counts, once nothing is answered any more.
   *
   * @returns how many calls could not be written, and are lost
   */
  async close(): Promise<number> {
    clearInterval(this.#timer);
    const until = performance.now() + LAST_WRITE_MS;
    const writeAll = async () => {
      await this.#writing;
      while (this.unwritten > 0 && performance.now() < until) {
        await this.write();
        if (this.#batches.length > 0) await pause();
      }
    };
    await within(LAST_WRITE_MS, writeAll());
    return this.unwritten;
  }

  async #write(): Promise<void> {
    if (this.#batches.length === 0) this.#batches = this.#take();
    for (const batch of [...this.#batches]) {
      await this.#store.add(batch);
      this.#batches.shift();
    }
  }

  /** What was counted until now; counting begins anew. */
  #take(): CountBatch[] {
    const counts = [...this.#tally.counts];
    this.#lost += this.#tally.beyond;
    this.#tally = new CallTally(MOST_COUNTS);
    const batches: CountBatch[] = [];
    for (let at = 0; at < counts.length; at += AT_ONCE) {
      const number = ++this.#lastNumber;
      batches.push({ writer: this.#writer, number, counts: counts.slice(at, at + AT_ONCE) });
    }
    return batches;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
}
