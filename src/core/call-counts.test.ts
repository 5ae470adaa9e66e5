import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Answer } from "./answer.ts";
import { CallCounts, type CountBatch } from "./call-counts.ts";
import { CallTally } from "./call-tally.ts";
import type { Choice } from "./choice.ts";
import { PromptdError } from "./errors.ts";
import type { PromptVersion, Selector } from "./prompt.ts";

const LABEL = { label: "production" };

function choice(name: string, version: number, asked: Selector = LABEL, arm?: string): Choice {
  const answer = new Answer({ name, version } as PromptVersion, [], []);
  const rollout = arm === undefined ? {} : { rollout: { revision: 1, arm } };
  return { answer, asked, reason: "label", ...rollout };
}

function answered(choice: Choice, project = "default") {
  const resolved = { choice, bucket: undefined, tier: "memory", stale: false, ageMs: 0 } as const;
  return { caller: { project, actor: "a" }, resolved };
}

/** As the database does it: a batch that was added before is not added again. */
class Store {
  readonly counts = new Map<string, number>();
  readonly batches: CountBatch[] = [];
  fault: "before" | "after" | undefined;
  readonly #last = new Map<string, number>();

  async add(batch: CountBatch): Promise<void> {
    this.batches.push(batch);
    if (this.fault === "before") throw new PromptdError("unavailable", "gone");
    if (batch.number > (this.#last.get(batch.writer) ?? 0)) {
      this.#last.set(batch.writer, batch.number);
      for (const { calls, ...by } of batch.counts) {
        const key = Object.values(by).join(" ");
        this.counts.set(key, (this.counts.get(key) ?? 0) + calls);
      }
    }
    if (this.fault === "after") throw new PromptdError("unavailable", "nobody knows");
  }

  get sum(): number {
    return [...this.counts.values()].reduce((sum, calls) => sum + calls, 0);
  }
}

let store: Store;
let counts: CallCounts;

beforeEach(() => {
  store = new Store();
  counts = new CallCounts(store, { writer: "w" });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("calls", () => {
  it("are counted by project, prompt, version, label and arm", async () => {
    const p1 = choice("p", 1);
    for (let i = 0; i < 3; i++) counts.answered(answered(p1));
    // The same, read again.
    counts.answered(answered(choice("p", 1)));
    counts.answered(answered(choice("p", 1), "other"));
    counts.answered(answered(choice("p", 2)));
    counts.answered(answered(choice("p", 1, { version: 1 })));
    counts.answered(answered(choice("p", 1, { label: "1" })));
    counts.answered(answered(choice("p", 1, LABEL, "control")));
    counts.answered(answered(choice("p", 2, LABEL, "new")));
    expect(counts.unwritten).toBe(10);
    await counts.write();
    expect(Object.fromEntries(store.counts)).toEqual({
      "default p 1 production ": 4,
      "other p 1 production ": 1,
      "default p 2 production ": 1,
      "default p 1  ": 1,
      "default p 1 1 ": 1,
      "default p 1 production control": 1,
      "default p 2 production new": 1,
    });
    expect(counts.unwritten).toBe(0);
  });

  it("that a fallback file answers are not counted", async () => {
    counts.answered(answered(choice("p", 0)));
    await counts.write();
    expect(store.batches).toEqual([]);
    expect(counts.lost).toBe(0);
  });

  it("are written every few seconds, where there were any", async () => {
    vi.useFakeTimers();
    counts.start();
    const p1 = choice("p", 1);
    counts.answered(answered(p1));
    await vi.advanceTimersByTimeAsync(3000);
    expect(store.sum).toBe(1);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(store.batches).toHaveLength(1);
    counts.answered(answered(p1));
    await vi.advanceTimersByTimeAsync(3000);
    expect(store.sum).toBe(2);
    await counts.close();
  });

  it("are written in batches that fit into a statement", async () => {
    for (let i = 1; i <= 450; i++) counts.answered(answered(choice("p", i)));
    await counts.write();
    expect(store.batches.map((batch) => [batch.number, batch.counts.length])).toEqual([
      [1, 200],
      [2, 200],
      [3, 50],
    ]);
  });

  it("are written at once where very many different ones wait", async () => {
    for (let i = 1; i <= 4999; i++) counts.answered(answered(choice("p", i)));
    expect(store.batches).toEqual([]);
    counts.answered(answered(choice("p", 5000)));
    counts.answered(answered(choice("p", 1)));
    await vi.waitFor(() => expect(counts.unwritten).toBe(1));
    expect(store.sum).toBe(5000);
  });
});

describe("while they cannot be written", () => {
  it.each(["before", "after"] as const)("calls are kept, and counted once (%s)", async (fault) => {
    const p1 = choice("p", 1);
    counts.answered(answered(p1));
    store.fault = fault;
    await counts.write();
    for (let i = 0; i < 10; i++) {
      counts.answered(answered(p1));
      await counts.write();
    }
    expect(counts.unwritten).toBe(11);
    const numbers = store.batches.map(({ number }) => number);
    expect(new Set(numbers)).toEqual(new Set([1]));
    store.fault = undefined;
    await counts.write();
    await counts.write();
    expect(Object.fromEntries(store.counts)).toEqual({ "default p 1 production ": 11 });
    expect(counts.unwritten).toBe(0);
  });

  it("calls are kept that are counted during a write", async () => {
    const p1 = choice("p", 1);
    counts.answered(answered(p1));
    const writing = counts.write();
    counts.answered(answered(p1));
    await writing;
    expect([store.sum, counts.unwritten]).toEqual([1, 1]);
    await counts.write();
    expect(store.sum).toBe(2);
  });

  it("no more than a bound is kept, and what is lost is told", async () => {
    store.fault = "before";
    const many = (from: number, to: number) => {
      for (let i = from; i <= to; i++) counts.answered(answered(choice("p", i)));
    };
    many(1, 5000);
    await vi.waitFor(() => expect(store.batches).toHaveLength(1));
    many(5001, 15_000);
    expect(counts.lost).toBe(0);
    many(15_001, 15_003);
    // There is room for more of what is counted already.
    many(5001, 5001);
    expect(counts.lost).toBe(3);
    expect(counts.unwritten).toBe(15_001);
    store.fault = undefined;
    expect(await counts.close()).toBe(0);
    expect(store.sum).toBe(15_001);
    expect(counts.lost).toBe(3);
  });

  it("the last write is tried for a while, and tells what it could not write", async () => {
    counts.answered(answered(choice("p", 1)));
    store.fault = "after";
    const closing = counts.close();
    await vi.waitFor(() => expect(store.batches.length).toBeGreaterThan(1));
    store.fault = undefined;
    expect(await closing).toBe(0);
    expect(store.sum).toBe(1);

    counts.answered(answered(choice("p", 1)));
    store.fault = "before";
    expect(await counts.close()).toBe(1);
  });

  it("the last write waits for no store that hangs", async () => {
    const hanging = new CallCounts({ add: () => new Promise(() => {}) }, { writer: "w" });
    hanging.answered(answered(choice("p", 1)));
    expect(await hanging.close()).toBe(1);
  });
});

it("a tally keeps what there is room for, and tells of the rest", () => {
  const tally = new CallTally(2);
  for (const version of [1, 2, 3, 1, 3]) tally.answered(answered(choice("p", version)));
  expect([...tally.counts].map(({ version, calls }) => [version, calls])).toEqual([
    [1, 2],
    [2, 1],
  ]);
  expect(tally.beyond).toBe(2);
});
