/** What a sync is told: about the other side, by the project, and with each command. */

import type { Caller } from "../core/ports.ts";
import type { Authority, Preference } from "../core/sync/plan.ts";
import type { SyncSource } from "./remote-side.ts";

/** The other side. */
export interface Remote {
  source: SyncSource;
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
