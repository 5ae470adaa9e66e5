/** What answers come from, and what keeps that true. */

import type { Change, PromptVersion, Selector } from "./prompt.ts";

/** A place that can answer. */
export type Tier = "memory" | "source" | "fallback";

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
  /** Drops what is kept of a prompt and was read before this revision. */
  forget(project: string, name: string, revision: number): void;
  clear(): void;
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

/** The end of the history, of all projects. */
export interface ChangeTail {
  /** The newest change's revision and hash; undefined where there is none. @throws unavailable */
  newest(): Promise<{ revision: number; hash: string } | undefined>;
  /** Changes from this revision on, itself included, oldest first. @throws unavailable */
  from(revision: number, limit: number): Promise<{ change: Change; hash: string }[]>;
}

export interface ChangeListener {
  changed(change: Change): void;
  /** The history is another one now: whatever is kept may be wrong. */
  lost(): void;
}

/** What was changed, as this process hears it. */
export interface ChangeFeed {
  /** The last revision of which every listener has been told. */
  readonly applied: number;
  /** Whether nothing was heard for so long that changes may have been missed. */
  readonly silent: boolean;
  /** @returns what ends it */
  subscribe(listener: ChangeListener): () => void;
  /** Waits until every change is applied that is committed by now. @throws unavailable */
  catchUp(): Promise<void>;
}

/** Told of answers, for metrics. */
export interface TierObserver {
  /** An answer was given, by the last tier that was asked for any part of it. */
  answered(tier: Tier, stale: boolean): void;
  /** The source was asked. */
  read(outcome: ReadOutcome, seconds: number): void;
}

/** `failed` is a source that was not reached or has a fault. */
export type ReadOutcome = "found" | "not_found" | "failed";

export const UNOBSERVED: TierObserver = { answered() {}, read() {} };
