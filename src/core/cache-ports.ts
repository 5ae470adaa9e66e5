/** What answers come from, and what keeps that true. */

import type { Change } from "./change.ts";
import type { PromptdError } from "./errors.ts";
import type { PromptVersion, Selector } from "./prompt.ts";
import type { ProjectRollout } from "./rollout/ports.ts";
import type { StandingRollout } from "./rollout/rollout.ts";

/** A place that can answer. */
export type Tier = "memory" | "redis" | "source" | "fallback";

/**
 * A place in a history: the last change that is in it. The hash covers all changes up
 * to there, so two histories with the same place are the same up to it. Revision 0
 * with an empty hash: no change yet.
 */
export interface Position {
  readonly revision: number;
  readonly hash: string;
}

/** What a selector led to, and how well that is known. */
export interface CachedPrompt {
  readonly version: PromptVersion;
  /** The feed's revision before the source was asked: every change up to there is in it. */
  readonly asOf: number;
  /** When the source was asked; milliseconds since 1970. */
  readonly readAt: number;
}

/** What memory keeps: a prompt, and when it is to be asked for again. */
export interface KeptPrompt extends CachedPrompt {
  /** From then on it is served, and asked for again behind; milliseconds since 1970. */
  refreshAt: number;
  /** The last time that it was asked for again, in vain. */
  stale: boolean;
  /** What its answers tell: what stood in for the source is not passed off as its answer. */
  readonly tier: "memory" | "fallback";
}

/** A prompt of a project, and how it is asked for. */
export interface PromptKey {
  project: string;
  name: string;
  selector: Selector;
}

/** What is kept in this process, bounded in bytes. It may drop anything at any time. */
export interface MemoryCache {
  get(key: PromptKey): KeptPrompt | undefined;
  /**
   * Keeps a prompt, unless `forget` was told of a change that may not be in it.
   *
   * @returns whether it may be kept
   */
  put(key: PromptKey, prompt: KeptPrompt): boolean;
  /** Counts what is kept beside a prompt for as long as the prompt is. */
  weigh(key: PromptKey, prompt: CachedPrompt, bytes: number): void;
  remove(key: PromptKey): void;
  /**
   * Drops what is kept of a prompt and was read before this revision.
   *
   * @returns under which keys
   */
  forget(project: string, name: string, revision: number): PromptKey[];
  clear(): void;
}

/** What processes tell each other of a prompt. */
export type SharedPrompt = Omit<CachedPrompt, "asOf">;

/** What came of a look at what is shared. */
export type SharedLook =
  | SharedPrompt
  /** Nothing is there that will do, and this process is the one to ask the source. */
  | "claimed"
  /** Nothing is there yet: another process asks the source. */
  | "busy"
  /** It can say nothing: it cannot be reached, or stands at another place of the history. */
  | "apart";

/**
 * What processes keep for each other, true at one place of the history. Nothing
 * is thrown: what cannot be reached is passed over.
 */
export interface SharedCache {
  /**
   * @param at where this process stands: nobody else is answered
   * @param newerThan what was read before will not do; milliseconds since 1970
   * @param claim whose the claim is, where nothing will do; undefined: none is made
   */
  look(
    key: PromptKey,
    at: Position,
    newerThan: number,
    claim: string | undefined,
  ): Promise<SharedLook>;
  /** Keeps what was read by someone who stood at that place, if it is still the end of the history. */
  put(key: PromptKey, prompt: SharedPrompt, at: Position): Promise<void>;
  remove(key: PromptKey): Promise<void>;
  /** Gives a claim back, if it still is this one. */
  release(key: PromptKey, claim: string): Promise<void>;
}

/**
 * What the source answered, kept over a restart for when it cannot be reached.
 * Nothing waits for it: it throws nothing, and may drop anything at any time.
 */
export interface LastKnownGood {
  get(key: PromptKey): CachedPrompt | undefined;
  put(key: PromptKey, prompt: CachedPrompt): void;
  remove(key: PromptKey): void;
}

/** As LastKnownGood, of the rollouts that split anybody. */
export interface LastKnownRollouts {
  get(): readonly ProjectRollout[];
  /** In the place of what was put before. */
  put(rollouts: readonly ProjectRollout[]): void;
}

/** As LastKnownGood, of keys and projects; by what was asked. */
export interface LastKnownKeys {
  get(question: string): unknown;
  /** @param keyId of the key in the answer, if there is one */
  put(question: string, answer: unknown, keyId?: string): void;
  remove(question: string): void;
  /** Drops every answer that holds this key. */
  forgetKey(id: string): void;
  clear(): void;
}

/** Prompts that the operator has put aside for when nothing else can answer. */
export interface FallbackPrompts {
  /** Its version is 0, and no label points at it. */
  find(project: string, name: string): PromptVersion | undefined;
}

/** A change, and the hash of the history up to it. */
export interface ChainedChange {
  readonly change: Change;
  readonly hash: string;
}

/** The end of the history, of all projects. */
export interface ChangeTail {
  /** The newest change's place; undefined where there is none. @throws unavailable */
  newest(): Promise<Position | undefined>;
  /** Changes from this revision on, itself included, oldest first. @throws unavailable */
  from(revision: number, limit: number): Promise<ChainedChange[]>;
}

/** The end of the history as processes hand it to each other, the last 10,000 changes at least. */
export interface ChangeStream extends ChangeTail {
  /**
   * Puts changes behind its end; undefined: nothing is in it.
   *
   * @returns false where its end is another one, and nothing was put
   */
  append(end: Position | undefined, changes: readonly ChainedChange[]): Promise<boolean>;
  /** Makes it empty, and whatever is shared beside it: the history is another one. */
  renew(): Promise<void>;
  /** Waits for changes behind a revision, about half a second at most. @throws unavailable */
  next(after: number): Promise<(ChainedChange & { previous: string })[]>;
}

export interface ChangeListener {
  changed(change: Change): void;
  /** The history is another one now: whatever is kept may be wrong. */
  lost(): void;
}

/** What was changed, as this process hears it. */
export interface ChangeFeed {
  /** Where the process stands: every listener has been told of all up to there. */
  readonly position: Position;
  /** The position's revision. */
  readonly applied: number;
  /** Whether nothing was heard for so long that changes may have been missed. */
  readonly silent: boolean;
  /** @returns what ends it */
  subscribe(listener: ChangeListener): () => void;
  /** Waits until every change is applied that is committed by now. @throws unavailable */
  catchUp(): Promise<void>;
}

/** Keeps callers from waiting for something that is down, and that from being called all the time. */
export interface Circuit {
  /** @throws unavailable, at once where the last calls failed; what the work throws */
  run<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** Told of answers, for metrics. */
export interface TierObserver {
  /** An answer was given, by the last tier that was asked for any part of it. */
  answered(tier: Tier, stale: boolean): void;
  /** A caller was given control, because an arm's version or label could not be answered with. */
  armUnresolved(rollout: StandingRollout, arm: string, cause: PromptdError): void;
  /** A caller waits for what memory does not have. */
  missed(): void;
  /** What is shared was asked. */
  looked(outcome: LookOutcome, seconds: number): void;
  /** The source was asked. */
  read(outcome: ReadOutcome, seconds: number): void;
  /** What memory has was asked for again, in vain: it is answered as stale. */
  notRefreshed(): void;
}

/** `missing` is what has to come from the source; `apart` is a cache that was not reached or stands elsewhere in the history. */
export type LookOutcome = "found" | "missing" | "apart";

/** `failed` is a source that was not reached or has a fault. */
export type ReadOutcome = "found" | "not_found" | "failed";

export const UNOBSERVED: TierObserver = {
  answered() {},
  armUnresolved() {},
  missed() {},
  looked() {},
  read() {},
  notRefreshed() {},
};
