/** Who runs where: the server on a core of its own, which is where a ratio is measured, and all else apart from it. */

import { cpus } from "node:os";

export const CORES = cpus().length;

/** The server that is measured. */
export const SERVER_CORE = "1";

/** Those who call it. */
export const CLIENT_CORES = CORES > 3 ? "2,3" : "0";

/** What it calls itself. */
export const BACKING_CORE = "0";

/** For a server of several processes: the callers keep the last core. */
export function coresOf(processes: number): string {
  return processes === 1 ? SERVER_CORE : `0-${Math.max(0, Math.min(processes, CORES - 1) - 1)}`;
}

/** A command that runs on some cores. */
export function pinned(cores: string, command: string, ...args: string[]): [string, string[]] {
  return ["taskset", ["-c", cores, command, ...args]];
}
