/** Watching prompts: what is told to whoever watches, and when. */

import type { ChangeFeed, ChangeTail, Position } from "./cache-ports.ts";
import type { Change } from "./change.ts";
import { PromptdError, throwIfAborted } from "./errors.ts";
import { ANONYMOUS } from "./keys.ts";
import type { Caller } from "./ports.ts";
import type { Question, Resolved, Resolver } from "./resolver.ts";
import { CONTROL } from "./rollout/table.ts";
import {
  fingerprint,
  isDoubtful,
  namesOf,
  type Outcome,
  promptsChangedSince,
  type Told,
} from "./watched-answers.ts";

/**
 * Something to tell. Every change up to its revision is in what was told so far;
 * while there is more to come, the revision stays what it was, at first 0.
 */
export type WatchEvent = { revision: number } & (
  | { kind: "snapshot"; items: Told[] }
  | { kind: "update"; items: ({ index: number } & Told)[] }
  | { kind: "heartbeat"; stale: boolean }
);

export interface WatchParts {
  questions: readonly Question[];
  caller: Caller & { signal: AbortSignal };
  /** The revision of the last event that the watcher has from before. */
  after: number | undefined;
  /** The hash of the change with that revision, where the watcher knows it. */
  afterHash?: string;
  resolver: Pick<Resolver, "resolve" | "rolloutOf" | "resolveArm">;
  /** Tells with each answer what splits the label's callers. */
  rollouts?: boolean;
  feed: ChangeFeed;
  tail: Pick<ChangeTail, "from">;
  /** @throws where the caller is not let in any more */
  admit: () => Promise<void>;
  /** What one event may hold, and what an answer takes of it; the first one always fits. */
  room: { bytes: number; of: (told: Told) => number };
  /** Milliseconds on any clock that only goes forward. */
  now?: () => number;
}

/** When nothing else was told for so long, that is told; and callers are let in anew this often. */
const HEARTBEAT_MS = 10_000;

/** An answer that nobody can vouch for is looked at again after this time. */
const RETRY_MS = 1000;

/** Names that are remembered while answers are looked for. */
const MOST_HEARD = 1000;

const NOWHERE: Position = { revision: 0, hash: "" };

const LATER = new PromptdError(
  "too_large",
  "the message would grow too large: this prompt comes in an update that follows",
);

/** One question: what was told last, and what its answer is made of. */
interface Watched {
  /** Tells apart what is told of answers; undefined before anything was. */
  told: string | undefined;
  /** A change of one of these prompts may make it another; undefined: of any. */
  names: ReadonlySet<string> | undefined;
}

/**
 * Watches the answers to some questions. What it keeps is bounded by their
 * number: of a question whose answer may have changed it notes that alone, and
 * looks once the watcher takes the next event. So a watcher is told the newest
 * state, and not each step to it.
 */
export class Watch {
  readonly #parts: WatchParts;
  readonly #now: () => number;
  readonly #watched: Watched[];
  /** Questions whose answer may be another one. */
  readonly #pending = new Set<number>();
  /** Those to look at again later: nobody can say whether their answer is current. */
  readonly #doubtful = new Set<number>();
  /** Prompts that have changed since answers were looked for last; undefined: too many. */
  #heard: Set<string> | undefined = new Set();
  /** All that was told may be wrong. */
  #lost = true;
  #keyChanged = false;
  #position = NOWHERE;
  #admittedAt: number;
  #wake = () => {};

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#now = parts.now ?? (() => performance.now());
    this.#watched = parts.questions.map(({ name }) => ({
      told: undefined,
      names: new Set([name]),
    }));
    this.#admittedAt = this.#now();
  }

  /** Where the history stood as of the event that was told last. */
  get position(): Position {
    return this.#position;
  }

  /**
   * Goes on until the caller's signal is aborted. Nothing is looked for while an
   * event is not taken.
   *
   * @throws what the signal was aborted with, and what `admit` throws
   */
  async *events(): AsyncGenerator<WatchEvent, never> {
    const { feed, caller } = this.#parts;
    const { signal } = caller;
    throwIfAborted(signal);
    const unsubscribe = feed.subscribe({
      changed: (change) => this.#changed(change),
      lost: () => {
        this.#lost = true;
        this.#position = NOWHERE;
        this.#wake();
      },
    });
    // Also where nobody takes what was told last.
    const end = () => {
      unsubscribe();
      this.#wake();
    };
    signal.addEventListener("abort", end, { once: true });
    try {
      yield await this.#first();
      for (let toldAt = this.#now(); ; ) {
        await this.#rest(toldAt + HEARTBEAT_MS);
        throwIfAborted(signal);
        await this.#stayAdmitted();
        const event = (await this.#next()) ?? this.#heartbeat(toldAt);
        if (event === undefined) continue;
        yield event;
        toldAt = this.#now();
      }
    } finally {
      signal.removeEventListener("abort", end);
      unsubscribe();
    }
  }

  #changed({ kind, project, name }: Change): void {
    const { actor, project: own } = this.#parts.caller;
    if (kind.startsWith("key_")) {
      // Whoever came without a key may need one now.
      if (name !== actor && actor !== ANONYMOUS) return;
      this.#keyChanged = true;
    } else {
      if (project !== own) return;
      this.#heard?.add(name);
      if ((this.#heard?.size ?? 0) > MOST_HEARD) this.#heard = undefined;
      this.#watched.forEach(({ names }, index) => {
        if (names === undefined || names.has(name)) this.#pending.add(index);
      });
      if (this.#pending.size === 0) return;
    }
    this.#wake();
  }

  async #first(): Promise<WatchEvent> {
    const { after = 0, afterHash, feed, tail, caller } = this.#parts;
    // Another replica may have been ahead.
    if (after > feed.applied) await feed.catchUp().catch(() => {});
    this.#heard = new Set();
    const known = after > 0 && after <= feed.applied;
    const behind = { revision: after, hash: afterHash };
    const changed = known ? await promptsChangedSince(tail, caller.project, behind) : undefined;
    throwIfAborted(caller.signal);
    if (changed === undefined || this.#heard === undefined || feed.applied < after) {
      return this.#snapshot();
    }
    // Changes since those that were read may be of prompts that nobody knows yet to be included.
    return this.#resume(new Set([...changed, ...this.#heard]), {
      revision: after,
      hash: afterHash ?? "",
    });
  }

  async #next(): Promise<WatchEvent | undefined> {
    if (this.#lost) return this.#snapshot();
    if (this.#pending.size === 0) return undefined;
    const { asOf, outcomes } = await this.#look([...this.#pending]);
    const others = outcomes.filter(
      (looked) => !isDoubtful(looked) && fingerprint(looked) !== this.#watched[looked.index]?.told,
    );
    return this.#update(asOf, others);
  }

  /** All anew. */
  async #snapshot(): Promise<WatchEvent> {
    this.#lost = false;
    const { asOf, outcomes } = await this.#look([...this.#watched.keys()]);
    const { fitting, complete } = this.#fit(outcomes);
    const items = outcomes.map((each) => (fitting.has(each) ? each : { outcome: LATER }));
    this.#stand(asOf, complete);
    return { kind: "snapshot", revision: this.#position.revision, items };
  }

  /** Goes on from what the watcher has, as of a revision. */
  async #resume(changed: ReadonlySet<string>, after: Position): Promise<WatchEvent> {
    this.#lost = false;
    this.#position = after;
    const { asOf, outcomes } = await this.#look([...this.#watched.keys()]);
    const others = outcomes.filter((looked) => {
      if (isDoubtful(looked)) return false;
      const watched = this.#watched[looked.index] as Watched;
      const { names = changed } = watched;
      if ([...names].some((name) => changed.has(name))) return true;
      watched.told = fingerprint(looked);
      return false;
    });
    const update = this.#update(asOf, others);
    return update ?? { kind: "update", revision: this.#position.revision, items: [] };
  }

  /** What of these is told now; the rest waits for the next time. */
  #update(asOf: Position, outcomes: readonly Looked[]): WatchEvent | undefined {
    const { fitting, complete } = this.#fit(outcomes);
    this.#stand(asOf, complete);
    if (fitting.size === 0) return undefined;
    return { kind: "update", revision: this.#position.revision, items: [...fitting] };
  }

  /** Looks for answers, and at what they are made of. */
  async #look(indexes: readonly number[]): Promise<{ asOf: Position; outcomes: Looked[] }> {
    const { feed, questions } = this.#parts;
    const asOf = feed.position;
    this.#pending.clear();
    this.#heard = new Set();
    const outcomes = await Promise.all(
      indexes.map(async (index) => {
        return { index, ...(await this.#told(questions[index] as Question)) };
      }),
    );
    for (const looked of outcomes) {
      const { index } = looked;
      const watched = this.#watched[index] as Watched;
      watched.names = namesOf(questions[index] as Question, looked);
      if (isDoubtful(looked)) this.#doubtful.add(index);
      else this.#doubtful.delete(index);
      if (this.#heardOf(watched.names)) this.#pending.add(index);
    }
    return { asOf, outcomes };
  }

  /** Whether one of these was changed while answers were looked for. */
  #heardOf(names: ReadonlySet<string> | undefined): boolean {
    const heard = this.#heard;
    if (heard === undefined) return true;
    return names === undefined ? heard.size > 0 : [...heard].some((name) => names.has(name));
  }

  async #told(question: Question): Promise<Told> {
    const { resolver, caller, rollouts } = this.#parts;
    const rollout = rollouts ? await resolver.rolloutOf(caller, question) : undefined;
    if (rollout === undefined) {
      return { outcome: await this.#outcome(resolver.resolve(caller, question)) };
    }
    const ofArm = (arm: string) =>
      this.#outcome(resolver.resolveArm(caller, question, rollout, arm));
    const names = rollout.arms.map(({ name }) => name);
    const [outcome, ...arms] = await Promise.all([CONTROL, ...names].map(ofArm));
    return { outcome: outcome as Outcome, split: { rollout, arms } };
  }

  async #outcome(answer: Promise<Resolved>): Promise<Outcome> {
    try {
      return await answer;
    } catch (thrown) {
      throwIfAborted(this.#parts.caller.signal);
      const error = PromptdError.from(thrown);
      if (error.code === "internal") throw error;
      return error;
    }
  }

  /** Takes what fits into one event, which is told by that; the rest is pending. */
  #fit(outcomes: readonly Looked[]): { fitting: Set<Looked>; complete: boolean } {
    const { room } = this.#parts;
    const fitting = new Set<Looked>();
    let left = room.bytes;
    for (const each of outcomes) {
      const { index } = each;
      const bytes = room.of(each);
      if (bytes > left && fitting.size > 0) {
        this.#pending.add(index);
        (this.#watched[index] as Watched).told = undefined;
        continue;
      }
      left -= bytes;
      fitting.add(each);
      (this.#watched[index] as Watched).told = fingerprint(each);
    }
    return { fitting, complete: fitting.size === outcomes.length };
  }

  /** Notes up to where all is told. */
  #stand(asOf: Position, complete: boolean): void {
    if (complete && this.#doubtful.size === 0 && !this.#lost) this.#position = asOf;
  }

  #heartbeat(toldAt: number): WatchEvent | undefined {
    if (this.#now() - toldAt < HEARTBEAT_MS) return undefined;
    const { feed } = this.#parts;
    if (this.#pending.size === 0) this.#stand(feed.position, true);
    const stale = feed.silent || this.#doubtful.size > 0;
    return { kind: "heartbeat", revision: this.#position.revision, stale };
  }

  /** A key that was revoked, or has expired, does not watch on. */
  async #stayAdmitted(): Promise<void> {
    if (!this.#keyChanged && this.#now() - this.#admittedAt < HEARTBEAT_MS) return;
    this.#keyChanged = false;
    await this.#parts.admit();
    this.#admittedAt = this.#now();
  }

  /** Waits until there is something to do. */
  async #rest(until: number): Promise<void> {
    const { feed, caller } = this.#parts;
    if (this.#pending.size > 0 || this.#lost || this.#keyChanged || caller.signal.aborted) return;
    const doubts = this.#doubtful.size > 0;
    const ms = Math.max(0, until - this.#now());
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, doubts ? Math.min(ms, RETRY_MS) : ms);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {};
    // As long as nothing is heard, all answers are in doubt.
    if (doubts && !feed.silent) for (const index of this.#doubtful) this.#pending.add(index);
  }
}

/** The answer to the question with an index. */
interface Looked extends Told {
  index: number;
}
