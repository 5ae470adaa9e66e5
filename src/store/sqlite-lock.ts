import { setTimeout } from "node:timers/promises";
import { throwIfAborted } from "../core/errors.ts";
import { unavailable } from "./database.ts";
import { errorCode, isLocked } from "./sqlite-file.ts";

/** As patient as a caller who waits for an answer. */
export const LOCK_TIMEOUT_MS = 10_000;

/** Pauses between two tries grow up to this. */
const LONGEST_PAUSE_MS = 25;

export interface Patience {
  /** In milliseconds. */
  timeout?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Runs work on the file at a path, and again while another process holds the
 * lock that it needs: it has then been rolled back, or has not begun.
 */
export async function patiently<Result>(
  path: string,
  work: () => Promise<Result>,
  { timeout = LOCK_TIMEOUT_MS, signal }: Patience = {},
): Promise<Result> {
  const deadline = performance.now() + timeout;
  for (let pause = 1; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    throwIfAborted(signal);
    try {
      return await work();
    } catch (error) {
      if (!isLocked(error) || performance.now() >= deadline) throw translated(error, path);
    }
    // Of random length, so that two processes do not keep meeting.
    await setTimeout(pause * (0.5 + Math.random()));
  }
}

/** The file, its disk or its permissions: what an operator can see to. */
const UNUSABLE =
  /^(SQLITE_(IOERR|FULL|READONLY|CANTOPEN|CORRUPT|NOTADB|PERM|PROTOCOL)|EACCES|EPERM|EROFS|ENOSPC|EIO|ENOENT|EEXIST|ENOTDIR|EISDIR)/;

/** `unavailable` for a fault of the file, its disk or its permissions; anything else as it is. */
export function translated(error: unknown, path: string): unknown {
  if (isLocked(error)) {
    const locked = (what: string) => `another process keeps ${what} locked`;
    return unavailable(locked("the database"), locked(`the database ${path}`), error);
  }
  const code = errorCode(error);
  if (!UNUSABLE.test(code)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return unavailable(
    `the database cannot be used (${code})`,
    `the database ${path} cannot be used: ${message}`,
    error,
  );
}
