/** When to look again. */

import { setTimeout as sleep } from "node:timers/promises";

export interface Ticks {
  signal: AbortSignal;
  intervalMs: number;
  debounceMs: number;
  /** Ticks whenever something may have changed. */
  changes?: ((signal: AbortSignal) => AsyncIterable<unknown>) | undefined;
}

/**
 * Ticks at once, and then a little after something may have changed, or when the
 * interval has passed. Ends with the signal. Where the changes end or fail, the
 * interval alone is left.
 */
export async function* ticks({ signal, intervalMs, ...of }: Ticks): AsyncGenerator<void> {
  const ended = new AbortController();
  const until = AbortSignal.any([signal, ended.signal]);
  let changed = false;
  let wake = () => {};
  const listening = listen(of.changes, until, () => {
    changed = true;
    wake();
  });
  try {
    while (!signal.aborted) {
      changed = false;
      yield;
      if (!changed) {
        const woken = new AbortController();
        wake = () => woken.abort();
        await pause(intervalMs, AbortSignal.any([until, woken.signal]));
      }
      // What belongs together comes together.
      if (changed) await pause(of.debounceMs, until);
    }
  } finally {
    ended.abort();
    await listening;
  }
}

async function listen(changes: Ticks["changes"], signal: AbortSignal, tell: () => void) {
  try {
    for await (const _ of changes?.(signal) ?? []) tell();
  } catch {
    // The interval goes on.
  }
}

/** Ends early with the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
