import { expect, it } from "vitest";
import { ticks } from "./watch.ts";

const NEVER = 3_600_000;

/** Changes that a test makes. */
function changing() {
  let next = deferred();
  async function* changes(signal: AbortSignal): AsyncGenerator<void> {
    signal.addEventListener("abort", () => next.resolve());
    while (!signal.aborted) {
      await next.promise;
      next = deferred();
      if (!signal.aborted) yield;
    }
  }
  return { changes, change: () => next.resolve() };
}

function deferred() {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve: () => resolve() };
}

it("ticks at once, then with each change, also one that comes during the work", async () => {
  const { changes, change } = changing();
  const ended = new AbortController();
  const ticking = ticks({ signal: ended.signal, intervalMs: NEVER, debounceMs: 1, changes });
  expect((await ticking.next()).done).toBe(false);
  const second = ticking.next();
  change();
  expect((await second).done).toBe(false);
  change();
  expect((await ticking.next()).done).toBe(false);
  ended.abort();
  expect((await ticking.next()).done).toBe(true);
});

it("ticks in intervals where nobody tells of changes, or who did has failed", async () => {
  async function* fail(): AsyncGenerator<void> {
    yield;
    throw new Error("gone");
  }
  for (const changes of [undefined, fail]) {
    const ended = new AbortController();
    const ticking = ticks({ signal: ended.signal, intervalMs: 1, debounceMs: 1, changes });
    for (let round = 0; round < 3; round++) expect((await ticking.next()).done).toBe(false);
    ended.abort();
    expect((await ticking.next()).done).toBe(true);
  }
});

it("ends while it waits", async () => {
  const ended = new AbortController();
  const ticking = ticks({ signal: ended.signal, intervalMs: NEVER, debounceMs: NEVER });
  await ticking.next();
  const waiting = ticking.next();
  ended.abort();
  expect((await waiting).done).toBe(true);
});
