/** The change feed: what was changed, in order, told to whatever keeps copies. */

import type { ChangeFeed, ChangeListener, ChangeTail } from "./cache-ports.ts";
import type { Change } from "./prompt.ts";

/** Changes that are read at once. */
const PAGE = 500;

/** A feed that has heard nothing for so long cannot say what is current. */
const SILENT_MS = 5000;

export interface FeedOptions {
  /** How often the tail is looked at, in milliseconds. */
  pollMs: number;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Told of a tail that cannot be read. */
  onFault?: (cause: unknown) => void;
}

/**
 * Follows the history of the database. It knows the last change that it has
 * applied by revision and hash, so a history that was replaced by another one,
 * as a restore does, is noticed: then all that was kept is lost.
 */
export class Feed implements ChangeFeed {
  readonly #tail: ChangeTail;
  readonly #options: Required<FeedOptions>;
  readonly #listeners = new Set<ChangeListener>();
  #applied = 0;
  #hash: string | undefined;
  #heardAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(tail: ChangeTail, options: FeedOptions) {
    this.#tail = tail;
    this.#options = { now: Date.now, onFault: () => {}, ...options };
  }

  get applied(): number {
    return this.#applied;
  }

  /** Since the tail was read last; infinite before the start. */
  get quietMs(): number {
    return this.#options.now() - this.#heardAt;
  }

  get silent(): boolean {
    return this.quietMs > SILENT_MS;
  }

  subscribe(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Begins behind the newest change, and follows. What was kept before may lack
   * the changes up to there.
   *
   * @throws unavailable
   */
  async start(): Promise<void> {
    const newest = await this.#tail.newest();
    this.#stand(newest);
    for (const { lost } of this.#listeners) lost();
    this.#timer = setInterval(() => {
      this.catchUp().catch(this.#options.onFault);
    }, this.#options.pollMs).unref();
  }

  /** Applies all that is committed by now. @throws unavailable */
  async catchUp(): Promise<void> {
    // What is being read may have begun before a commit that must be in it.
    await this.#reading?.catch(() => {});
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #read(): Promise<void> {
    for (;;) {
      const changes = await this.#tail.from(this.#applied, PAGE);
      this.#heardAt = this.#options.now();
      if (this.#applied !== 0 && changes[0]?.hash !== this.#hash) {
        this.#stand(await this.#tail.newest());
        for (const { lost } of this.#listeners) lost();
        return;
      }
      for (const { change, hash } of changes) {
        if (change.revision > this.#applied) this.#apply(change, hash);
      }
      if (changes.length < PAGE) return;
    }
  }

  #apply(change: Change, hash: string): void {
    this.#applied = change.revision;
    this.#hash = hash;
    for (const { changed } of this.#listeners) changed(change);
  }

  #stand(at: { revision: number; hash: string } | undefined): void {
    this.#applied = at?.revision ?? 0;
    this.#hash = at?.hash;
    this.#heardAt = this.#options.now();
  }
}
