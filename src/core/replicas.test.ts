import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ChangeFeed, ChangeListener } from "./cache-ports.ts";
import { PromptdError } from "./errors.ts";
import { Replica, type Replicas } from "./replicas.ts";

let applied: number;
let listener: ChangeListener | undefined;
let rows: Map<string, number>;
let reports: number[];
/** Reports and looks fail with it. */
let fault: PromptdError | undefined;
let faults: unknown[];
let looks: number;
let replica: Replica;

beforeEach(() => {
  vi.useFakeTimers();
  applied = 5;
  rows = new Map();
  reports = [];
  fault = undefined;
  faults = [];
  looks = 0;
  const replicas: Replicas = {
    async report(id, revision) {
      if (fault) throw fault;
      reports.push(revision);
      rows.set(id, revision);
    },
    async others(own) {
      looks++;
      if (fault) throw fault;
      return [...rows].filter(([id]) => id !== own).map(([, revision]) => revision);
    },
    async remove(id) {
      if (fault) throw fault;
      rows.delete(id);
    },
  };
  const feed: ChangeFeed = {
    get position() {
      return { revision: applied, hash: `hash ${applied}` };
    },
    get applied() {
      return applied;
    },
    silent: false,
    subscribe(given) {
      listener = given;
      return () => {
        listener = undefined;
      };
    },
    catchUp: async () => {},
  };
  replica = new Replica("own", replicas, feed, { onFault: (cause) => faults.push(cause) });
});

afterEach(() => {
  vi.useRealTimers();
});

const change = (revision: number) => {
  applied = revision;
  listener?.changed({ revision } as never);
};

describe("a replica", () => {
  it("reports soon what it has applied, at most ten times a second, and every three", async () => {
    replica.start();
    await vi.advanceTimersByTimeAsync(20);
    expect(reports).toEqual([5]);
    for (let revision = 6; revision < 50; revision++) change(revision);
    await vi.advanceTimersByTimeAsync(100);
    expect(reports).toEqual([5, 49]);
    await vi.advanceTimersByTimeAsync(2700);
    change(50);
    await vi.advanceTimersByTimeAsync(20);
    expect(reports).toEqual([5, 49, 50]);
    await vi.advanceTimersByTimeAsync(220);
    expect(reports).toEqual([5, 49, 50, 50]);
  });

  it("makes up for a report that could not be made", async () => {
    fault = new PromptdError("unavailable", "the database is away");
    replica.start();
    await vi.advanceTimersByTimeAsync(3020);
    expect(faults).toEqual([fault, fault]);
    fault = undefined;
    await vi.advanceTimersByTimeAsync(3000);
    expect(reports).toEqual([5]);
  });

  it("takes leave, and reports nothing after", async () => {
    replica.start();
    await vi.advanceTimersByTimeAsync(20);
    change(6);
    await vi.advanceTimersByTimeAsync(0);
    await replica.close();
    expect(rows.size).toBe(0);
    expect(listener).toBeUndefined();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(reports).toEqual([5]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("that never began has nothing to take leave of", async () => {
    fault = new PromptdError("unavailable", "the database is away");
    await replica.close();
    expect(faults).toEqual([]);
  });
});

describe("who waits for replicas", () => {
  const wait = (revision: number, ms: number, signal?: AbortSignal) =>
    replica.reached(revision, ms, signal);

  it("is told at once where all have applied the change", async () => {
    expect(await wait(5, 1000)).toEqual({ applied: 1, live: 1 });
    rows.set("a", 7);
    expect(await wait(5, 1000)).toEqual({ applied: 2, live: 2 });
  });

  it("is told when the last one has", async () => {
    rows.set("a", 4);
    rows.set("b", 5);
    const waiting = wait(6, 10_000);
    await vi.advanceTimersByTimeAsync(500);
    rows.set("a", 6);
    rows.set("b", 6);
    await vi.advanceTimersByTimeAsync(500);
    applied = 6;
    await vi.advanceTimersByTimeAsync(250);
    expect(await waiting).toEqual({ applied: 3, live: 3 });
  });

  it("is told how many have when the time is over, and does not wait where there is none", async () => {
    rows.set("a", 4);
    const waiting = wait(5, 1000);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await waiting).toEqual({ applied: 1, live: 2 });
    expect(await wait(5, 0)).toEqual({ applied: 1, live: 2 });
    expect(looks).toBeLessThan(30);
  });

  it("does not count who is gone meanwhile", async () => {
    rows.set("a", 4);
    const waiting = wait(5, 10_000);
    await vi.advanceTimersByTimeAsync(500);
    rows.delete("a");
    await vi.advanceTimersByTimeAsync(250);
    expect(await waiting).toEqual({ applied: 1, live: 1 });
  });

  it("is told nothing where nobody can tell, and what was last known otherwise", async () => {
    fault = new PromptdError("unavailable", "the database is away");
    const blind = wait(5, 300);
    await vi.advanceTimersByTimeAsync(300);
    expect(await blind).toBeUndefined();
    fault = undefined;
    rows.set("a", 4);
    const waiting = wait(5, 1000);
    await vi.advanceTimersByTimeAsync(100);
    fault = new PromptdError("unavailable", "the database is away");
    await vi.advanceTimersByTimeAsync(900);
    expect(await waiting).toEqual({ applied: 1, live: 2 });
  });

  it("waits no more once its caller is gone", async () => {
    rows.set("a", 4);
    const controller = new AbortController();
    const waiting = wait(5, 50_000, controller.signal);
    controller.abort();
    await vi.advanceTimersByTimeAsync(250);
    expect(await waiting).toEqual({ applied: 1, live: 2 });
  });
});
