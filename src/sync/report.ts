/** What the sync tells of what it saw and did. */

import type { PromptdError } from "../core/errors.ts";
import type { VersionInfo } from "../core/prompt.ts";
import type { Act, Direction } from "../core/sync/plan.ts";
import type { SyncState } from "../core/sync/state.ts";

/**
 * `unreadable`: one of its sides cannot be read, so that nothing is done about it. `gone`:
 * it was synced, and is on neither side any more.
 */
export type PromptState = SyncState | "unreadable" | "gone";

/** A prompt and how its sides stand to each other. */
export interface StatusItem {
  name: string;
  /** Relative to the folder, with `/` between folders; absent where it has no file, and none can be said. */
  file?: string;
  state: PromptState;
  /** What cannot be read, and why. */
  why?: string;
  /** Somebody said that the file was edited on purpose. */
  edited?: boolean;
  /** The file holds a merge whose conflicts are not decided yet. */
  merging?: boolean;
  /** The followed version there; absent where there is none. */
  remoteVersion?: number;
}

export interface StatusReport {
  /** What the other side is, and the label that is followed there. */
  remote: string;
  label: string;
  /** In order of name. */
  prompts: StatusItem[];
  /** Files that are not prompt files. */
  ignored: { path: string; why: string }[];
  counts: Partial<Record<PromptState, number>>;
  /** Whether all prompts are synced. */
  clean: boolean;
}

/** What was done about a prompt: nothing where it was kept, refused or in error. */
export type Outcome = Act | "merge" | "keep" | "refuse" | "error";

export interface RunItem {
  name: string;
  file?: string;
  /** Before. */
  state: PromptState;
  outcome: Outcome;
  /** Why it was refused or failed, or what is left to be done. */
  why?: string;
  /** What was sent as; not known before it is. */
  version?: number;
}

/** How often each was done. */
export interface RunSummary {
  /** Files that were not there before. */
  pulled: number;
  /** Files that were replaced, by what is there or by a merge. */
  updated: number;
  pushed: number;
  /** Files that were deleted. */
  removed: number;
  /** Prompts that were deleted on the other side. */
  withdrawn: number;
  /** Prompts that somebody has to decide about. */
  conflicts: number;
  errors: number;
  kept: number;
}

export interface RunReport {
  command: Direction | "resolve";
  /** Nothing was written; this is what would have been. */
  dryRun: boolean;
  /** In order of name. */
  items: RunItem[];
  summary: RunSummary;
  /** Whether nothing is left to decide, and nothing failed. */
  ok: boolean;
}

/** One side of a prompt, written as a `.prompt` file would be. */
export interface DiffSide {
  text: string;
  version?: number;
  labels?: readonly string[];
}

export interface PromptDiff {
  name: string;
  file?: string;
  state: PromptState;
  why?: string;
  /** What both sides held last; absent where there is none, or it is not to be had any more. */
  base?: DiffSide;
  local?: DiffSide;
  remote?: DiffSide;
  /** Unified diffs: from the base to each side, or where there is none from the other side to the file. */
  patches: { from: "base" | "remote"; to: "local" | "remote"; text: string }[];
}

/** A file or version that was overwritten. */
export interface Backup {
  id: string;
  name: string;
  /** Which side it is of. */
  side: "local" | "remote";
  /** Where its file stood, or would. */
  file: string;
  why: string;
  when: Date;
}

export interface PromptLog {
  name: string;
  file?: string;
  /** On the other side, newest first; none where it is not there. */
  versions: VersionInfo[];
  /** The version that both sides held last. */
  baseVersion?: number;
  pulledAt?: Date;
  pushedAt?: Date;
  /** Newest first. */
  backups: Backup[];
}

export interface InitReport {
  /** Prompts whose sides hold the same. */
  synced: number;
  /** How the others stand. */
  status: StatusReport;
}

/** How far a command has come. */
export interface Progress {
  phase: "compare" | "apply";
  done: number;
  total: number;
}

/** What a round of watching led to. */
export type WatchRound = { report: RunReport } | { error: PromptdError };
