/** Two-way sync between a folder of prompt files and a place where prompts live. */

import type { Caller, PromptSource } from "../core/ports.ts";
import type { Authority, Preference } from "../core/sync/plan.ts";
import type {
  Backup,
  InitReport,
  Progress,
  PromptDiff,
  PromptLog,
  RunReport,
  StatusReport,
  WatchRound,
} from "./report.ts";

/** The other side. */
export interface Remote {
  source: PromptSource;
  caller: Caller;
  /** What it is and where, such as `langfuse https://cloud.langfuse.com`: metadata of another one is refused. */
  identity: string;
  /** Ticks whenever a prompt may have changed there, until the signal is aborted; absent: it is asked in intervals. */
  changes?: (signal: AbortSignal) => AsyncIterable<unknown>;
}

/** What a project decides once; see `promptd.yaml`. */
export interface SyncSettings {
  /** The label whose version is followed; default: that of the metadata, then `latest`. */
  label?: string;
  /** For pushed versions whose file names no labels; default none. */
  labels?: readonly string[];
  authority?: Authority;
  autoResolve?: Preference;
  autoPush?: boolean;
}

/** Which prompts: names, or patterns in which `*` stands for any text. None: all. */
export interface Selection {
  names?: readonly string[];
}

export interface RunOptions extends Selection, SyncSettings {
  force?: boolean;
  /** A prompt that is gone from one side goes from the other. */
  delete?: boolean;
  dryRun?: boolean;
}

export interface WatchOptions extends RunOptions {
  /** Default 30 s. */
  intervalMs?: number;
  /** How long to wait for further changes; default 200 ms. */
  debounceMs?: number;
  signal: AbortSignal;
}

export interface SyncParts {
  folder: string;
  remote: Remote;
  settings?: SyncSettings;
  /** Milliseconds since 1970. */
  now?: () => number;
  onProgress?: (progress: Progress) => void;
}

export type Strategy = "local" | "remote" | "merge";

/** Every method throws `refused` without metadata, and for metadata of another remote; all but `init`. */
export declare class Sync {
  constructor(parts: SyncParts);
  /** @throws refused where there is metadata already and it is not forced */
  init(options?: { force?: boolean; label?: string }): Promise<InitReport>;
  status(options?: Selection & { label?: string }): Promise<StatusReport>;
  /** Of the prompts that are not synced. */
  diff(options?: Selection & { label?: string }): Promise<PromptDiff[]>;
  pull(options?: RunOptions): Promise<RunReport>;
  push(options?: RunOptions): Promise<RunReport>;
  /** Decides a conflict, in the folder alone: a push sends what came of it. */
  resolve(
    name: string,
    strategy: Strategy,
    options?: { dryRun?: boolean; label?: string },
  ): Promise<RunReport>;
  /** @throws not_found where there is no such file */
  markEdited(name: string, edited?: boolean): Promise<void>;
  /** Puts the content of a version into the file, as an edit. */
  rollback(name: string, version: number): Promise<{ file: string }>;
  log(name: string): Promise<PromptLog>;
  /** Newest first. */
  backups(name?: string): Promise<Backup[]>;
  /** Brings a backup's file back, the prompt's newest unless `at` says which. @throws not_found */
  restore(options: { name?: string; at?: string }): Promise<Backup>;
  /** Pulls now and whenever something changes, until the signal is aborted. */
  watch(options: WatchOptions): AsyncGenerator<WatchRound>;
}
