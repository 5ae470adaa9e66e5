/** The change feed: what was changed, in order, told to whatever keeps copies. */

import type {
  ChainedChange,
  ChangeFeed,
  ChangeListener,
  ChangeStream,
  ChangeTail,
  Position,
} from "./cache-ports.ts";
import { publish } from "./publish.ts";

/** Changes that are read at once. */
const PAGE = 500;

/** A feed that has heard nothing for so long cannot say what is current. */
const SILENT_MS = 5000;

/** After a fault the stream is followed again after this time. */
const AGAIN_MS = 200;

const NOWHERE: Position = { revision: 0, hash: "" };

export interface FeedOptions {
  /** How often the tail is looked at, in milliseconds. */
  pollMs: number;
  /** Where other processes tell what they have changed. */
  stream?: ChangeStream;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Told of a tail or a stream that cannot be read. */
  onFault?: (cause: unknown) => void;
}

/**
 * Follows the history of the database, and the stream of it, which tells sooner
 * and also while the database cannot be reached. It knows the last change that it
 * has applied by revision and hash, so a history that was replaced by another one,
 * as a restore does, is noticed: then all that was kept is lost.
 */
export class Feed implements ChangeFeed {
  readonly #tail: ChangeTail;
  readonly #stream: ChangeStream | undefined;
  readonly #options: Omit<Required<FeedOptions>, "stream">;
  readonly #listeners = new Set<ChangeListener>();
  #position = NOWHERE;
  #heardAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(tail: ChangeTail, { stream, ...options }: FeedOptions) {
    this.#tail = tail;
    this.#stream = stream;
    this.#options = { now: Date.now, onFault: () => {}, ...options };
  }

  get position(): Position {
    return this.#position;
  }

  get applied(): number {
    return this.#position.revision;
  }

  /** Since the history was heard of last; infinite before the start. */
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
    await this.#restand(this.#tail);
    await this.#publish();
    this.#timer = setInterval(() => {
      this.catchUp().catch(this.#options.onFault);
    }, this.#options.pollMs).unref();
    if (this.#stream !== undefined) void this.#follow(this.#stream);
  }

  /** Applies all that is committed by now, and hands it on. @throws unavailable */
  async catchUp(): Promise<void> {
    // What is being read may have begun before a commit that must be in it.
    await this.#reading?.catch(() => {});
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  async #read(): Promise<void> {
    let handedOn: boolean;
    try {
      handedOn = await this.#readOn(this.#tail, this.#stream);
    } catch (cause) {
      if (this.#stream === undefined || !(await this.#readInstead(this.#stream))) throw cause;
      return;
    }
    if (!handedOn) await this.#publish();
  }

  /**
   * @param stream where the changes that are read are told at once
   * @returns whether it ends where this process stands now, as far as that is known
   */
  async #readOn(tail: ChangeTail, stream?: ChangeStream): Promise<boolean> {
    let handedOn = false;
    for (;;) {
      const { revision, hash } = this.#position;
      const changes = await tail.from(revision, PAGE);
      this.#heardAt = this.#options.now();
      if (revision !== 0 && changes[0]?.hash !== hash) {
        await this.#restand(tail);
        return false;
      }
      const news = changes.filter(({ change }) => change.revision > revision);
      for (const change of news) this.#apply(change);
      if (news.length > 0) handedOn = await this.#handOn(stream, { revision, hash }, news);
      if (changes.length < PAGE) return handedOn;
    }
  }

  /** Most often the stream ends where this process stood before. */
  async #handOn(
    stream: ChangeStream | undefined,
    before: Position,
    news: readonly ChainedChange[],
  ): Promise<boolean> {
    if (stream === undefined || before.revision === 0) return false;
    try {
      return await stream.append(before, news);
    } catch (cause) {
      this.#options.onFault(cause);
      return false;
    }
  }

  /** A stream that ends before this process stands may only be late, and so says nothing. */
  async #readInstead(stream: ChangeStream): Promise<boolean> {
    try {
      const end = await stream.newest();
      if (end === undefined || end.revision < this.applied) return false;
      await this.#readOn(stream);
      return true;
    } catch {
      return false;
    }
  }

  /** The database is the truth: a stream that cannot be reached is brought up to it later. */
  async #publish(): Promise<void> {
    if (this.#stream === undefined) return;
    await publish(this.#tail, this.#stream, () => this.#position).catch(this.#options.onFault);
  }

  async #follow(stream: ChangeStream): Promise<void> {
    while (!this.#closed) {
      try {
        for (const change of await stream.next(this.applied)) await this.#hear(change);
      } catch (cause) {
        this.#options.onFault(cause);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS).unref());
      }
    }
  }

  async #hear(next: ChainedChange & { previous: string }): Promise<void> {
    const { revision, hash } = this.#position;
    if (next.change.revision <= revision) return;
    if (next.change.revision === revision + 1 && next.previous === hash) {
      this.#heardAt = this.#options.now();
      this.#apply(next);
    } else {
      await this.catchUp();
    }
  }

  #apply({ change, hash }: ChainedChange): void {
    if (change.revision <= this.applied) return;
    this.#position = { revision: change.revision, hash };
    for (const { changed } of this.#listeners) changed(change);
  }

  /** Stands at the end of a history that is not the one that was followed. */
  async #restand(tail: ChangeTail): Promise<void> {
    this.#position = (await tail.newest()) ?? NOWHERE;
    this.#heardAt = this.#options.now();
    for (const { lost } of this.#listeners) lost();
  }
}
