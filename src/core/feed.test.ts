import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Change } from "./change.ts";
import { Feed } from "./feed.ts";

interface Entry {
  change: Change;
  hash: string;
}

/** A history of a database, which tests may replace. */
let history: Entry[];
let fault: Error | undefined;
let heard: (number | "lost")[];
let feed: Feed;

beforeEach(async () => {
  vi.useFakeTimers();
  fault = undefined;
  heard = [];
  history = [entry(1), entry(2)];
  const read = async <Result>(work: () => Result) => {
    if (fault !== undefined) throw fault;
    return work();
  };
  feed = new Feed(
    {
      newest: () =>
        read(() => {
          const last = history.at(-1);
          return last && { revision: last.change.revision, hash: last.hash };
        }),
      from: (revision, limit) =>
        read(() => history.filter(({ change }) => change.revision >= revision).slice(0, limit)),
    },
    { pollMs: 100 },
  );
  feed.subscribe({
    changed: ({ revision }) => heard.push(revision),
    lost: () => heard.push("lost"),
  });
  await feed.start();
  // Whatever was kept before it began.
  expect(heard).toEqual(["lost"]);
  heard = [];
});

afterEach(() => {
  feed.close();
  vi.useRealTimers();
});

function entry(revision: number, hash = `hash ${revision}`): Entry {
  return { change: { revision } as Change, hash };
}

describe("Feed", () => {
  it("begins behind what is there, and tells of each change once, in order", async () => {
    expect(feed.applied).toBe(2);
    history.push(entry(3), entry(4));
    await Promise.all([feed.catchUp(), feed.catchUp(), feed.catchUp()]);
    expect(heard).toEqual([3, 4]);
    expect(feed.applied).toBe(4);
    await feed.catchUp();
    expect(heard).toEqual([3, 4]);
  });

  it("is silent before it begins", () => {
    expect(feed.silent).toBe(false);
    const tail = { newest: async () => undefined, from: async () => [] };
    expect(new Feed(tail, { pollMs: 100 }).silent).toBe(true);
  });

  it("hears of changes by itself", async () => {
    history.push(entry(3));
    await vi.advanceTimersByTimeAsync(100);
    expect(heard).toEqual([3]);
  });

  it("reads a history of any length", async () => {
    for (let revision = 3; revision <= 2000; revision++) history.push(entry(revision));
    await feed.catchUp();
    expect(heard).toHaveLength(1998);
    expect(feed.applied).toBe(2000);
  });

  it.each([
    ["shorter", () => [entry(1)]],
    ["empty", () => []],
    ["as long, and another", () => [entry(1), entry(2, "another")]],
    ["longer, and another", () => [entry(1), entry(2, "another"), entry(3)]],
  ])("says that all is lost where the history is %s", async (_, other) => {
    history = other();
    await feed.catchUp();
    expect(heard).toEqual(["lost"]);
    expect(feed.applied).toBe(history.length);
    history.push(entry(history.length + 1));
    await feed.catchUp();
    expect(heard).toEqual(["lost", history.length]);
  });

  it("is silent after some seconds without news, until there is some", async () => {
    fault = new Error("down");
    await expect(feed.catchUp()).rejects.toThrow("down");
    expect(feed.silent).toBe(false);
    await vi.advanceTimersByTimeAsync(5100);
    expect(feed.silent).toBe(true);
    fault = undefined;
    history.push(entry(3));
    await vi.advanceTimersByTimeAsync(100);
    expect(feed.silent).toBe(false);
    expect(heard).toEqual([3]);
  });
});
