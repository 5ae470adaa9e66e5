import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ChangeFeed, ChangeListener, PromptKey } from "../cache-ports.ts";
import type { Change } from "../change.ts";
import { define } from "./definition.ts";
import { KnownRollouts } from "./known-rollouts.ts";
import type { ProjectRollout } from "./ports.ts";
import type { RolloutState, StandingRollout } from "./rollout.ts";

const P = { project: "default", name: "p" };
const Q = { project: "default", name: "q" };

/** What the database is asked, answered when the test says so. */
interface Read {
  name: string | undefined;
  answer(found: ProjectRollout[]): Promise<void>;
  fail(): Promise<void>;
}

let reads: Read[];
let listener: ChangeListener;
let lastKnown: readonly ProjectRollout[];
let targets: PromptKey[];
let faults: unknown[];
/** What is heard only once somebody asks for all that is committed by now. */
let unheard: () => void;
let rollouts: KnownRollouts;

beforeEach(() => {
  vi.useFakeTimers();
  reads = [];
  lastKnown = [];
  targets = [];
  faults = [];
  unheard = () => {};
  open();
});

afterEach(() => {
  vi.useRealTimers();
});

function open(): void {
  const feed: ChangeFeed = {
    position: { revision: 0, hash: "" },
    applied: 0,
    silent: false,
    subscribe: (given) => {
      listener = given;
      return () => {};
    },
    catchUp: async () => unheard(),
  };
  rollouts = new KnownRollouts({
    lookup: { ongoingRollouts: ask },
    circuit: { run: (work) => work() },
    feed,
    lastKnown: {
      get: () => lastKnown,
      put: (known) => {
        lastKnown = known;
      },
    },
    onTarget: (key) => targets.push(key),
    onFault: (cause) => faults.push(cause),
  });
}

function ask(prompt?: { name: string }): Promise<ProjectRollout[]> {
  return new Promise((resolve, reject) => {
    reads.push({
      name: prompt?.name,
      answer: (found) => settled(() => resolve(found)),
      fail: () => settled(() => reject(new Error("the database is gone"))),
    });
  });
}

/** Does something, and lets all that follows from it happen. */
async function settled(work: () => void): Promise<void> {
  work();
  await vi.advanceTimersByTimeAsync(0);
}

/** The reads that were begun since. */
function begun(): Read[] {
  return reads.splice(0);
}

function only<Item>(items: readonly Item[]): Item {
  expect(items).toHaveLength(1);
  return items[0] as Item;
}

function rollout(name: string, revision: number, label = "production"): ProjectRollout {
  const arms = [{ name: "canary", target: { version: revision }, weight: 500 }];
  const defined = define({ name, label, state: "running", salt: "", arms, overrides: [] });
  const last = { revision, actor: "a", reason: "", changedAt: new Date(0) };
  return { project: "default", rollout: { ...defined, ...last } satisfies StandingRollout };
}

/** A change of a prompt's rollout; without a state it is deleted. */
function changed(name: string, state?: RolloutState, label = "production"): Promise<void> {
  const current = state && { state, arms: [], overrides: 0 };
  const change = { ...P, name, kind: "rollout_set", versions: [], labels: [] };
  const told = { ...change, rollouts: [{ label, ...(current && { current }) }] };
  return settled(() => listener.changed(told as unknown as Change));
}

const lost = () => settled(() => listener.lost());

const revisionOf = (prompt: typeof P, label = "production") => rollouts.of(prompt, label)?.revision;

/** Whether callers of a prompt have to wait. */
const waits = (prompt: typeof P) => rollouts.settling(prompt) !== undefined;

/** All are read; none are waited for. */
async function start(...found: ProjectRollout[]): Promise<void> {
  await lost();
  await only(begun()).answer(found);
}

describe("at the start", () => {
  it("all are read, and callers wait for that", async () => {
    await lost();
    expect(waits(P)).toBe(true);
    const read = only(begun());
    expect(read.name).toBeUndefined();
    await read.answer([rollout("p", 1), rollout("p", 2, "staging"), rollout("q", 3)]);
    expect(waits(P)).toBe(false);
    expect([revisionOf(P), revisionOf(P, "staging"), revisionOf(Q)]).toEqual([1, 2, 3]);
    expect(revisionOf({ project: "other", name: "p" })).toBeUndefined();
    expect(lastKnown).toHaveLength(3);
    expect(targets).toEqual([]);
  });

  it("what was last known stands in for a database that is gone, and is doubtful", async () => {
    lastKnown = [rollout("p", 1)];
    open();
    await lost();
    expect(revisionOf(P)).toBe(1);
    await only(begun()).fail();
    expect(waits(P)).toBe(false);
    expect(revisionOf(P)).toBe(1);
    expect(rollouts.isDoubtful(P)).toBe(true);
    expect(rollouts.isDoubtful(Q)).toBe(true);

    await vi.advanceTimersByTimeAsync(500);
    await only(begun()).answer([rollout("q", 2)]);
    expect(rollouts.isDoubtful(P)).toBe(false);
    expect([revisionOf(P), revisionOf(Q)]).toEqual([undefined, 2]);
    expect(lastKnown).toEqual([rollout("q", 2)]);
  });

  it("nobody waits longer than a second", async () => {
    await lost();
    const settling = rollouts.settling(P);
    await vi.advanceTimersByTimeAsync(999);
    expect(waits(P)).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await settling;
    expect([waits(P), rollouts.isDoubtful(P)]).toEqual([false, true]);
    await only(begun()).answer([rollout("p", 1)]);
    expect([revisionOf(P), rollouts.isDoubtful(P)]).toEqual([1, false]);
  });
});

describe("a change that is heard", () => {
  it("is read and waited for, by callers of its prompt alone", async () => {
    await start(rollout("p", 1), rollout("q", 1));
    await changed("p", "running");
    expect([waits(P), waits(Q)]).toEqual([true, false]);
    const read = only(begun());
    expect(read.name).toBe("p");
    await read.answer([rollout("p", 2), rollout("p", 3, "staging")]);
    expect([waits(P), revisionOf(P), revisionOf(P, "staging"), revisionOf(Q)]).toEqual([
      false,
      2,
      3,
      1,
    ]);
    expect(lastKnown).toHaveLength(3);
  });

  it("brings the targets of what was set", async () => {
    await start(rollout("p", 1));
    await changed("p", "running", "staging");
    await only(begun()).answer([rollout("p", 1), rollout("p", 4, "staging")]);
    expect(targets).toEqual([{ ...P, selector: { version: 4 } }]);
  });

  it.each(["aborted", "promoted", undefined] as const)(
    "of one that is %s drops it at once, whether or not the database answers",
    async (state) => {
      await start(rollout("p", 1), rollout("p", 2, "staging"));
      await changed("p", state);
      expect([revisionOf(P), revisionOf(P, "staging")]).toEqual([undefined, 2]);
      expect(lastKnown).toEqual([rollout("p", 2, "staging")]);
      await only(begun()).fail();
      expect([revisionOf(P), revisionOf(P, "staging")]).toEqual([undefined, 2]);
    },
  );

  it("that is not about rollouts asks nobody", async () => {
    await start(rollout("p", 1));
    const change = { ...P, kind: "labels_set", versions: [], labels: [] };
    await settled(() => listener.changed(change as unknown as Change));
    expect(begun()).toEqual([]);
    expect(waits(P)).toBe(false);
  });

  it("and cannot be read leaves what was there, in doubt, until it can", async () => {
    await start(rollout("p", 1), rollout("q", 1));
    await changed("p", "running");
    await only(begun()).fail();
    expect([revisionOf(P), waits(P)]).toEqual([1, false]);
    expect([rollouts.isDoubtful(P), rollouts.isDoubtful(Q)]).toEqual([true, false]);
    expect(faults).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(499);
    expect(begun()).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    await only(begun()).fail();
    await vi.advanceTimersByTimeAsync(500);
    await only(begun()).answer([rollout("p", 2)]);
    expect([revisionOf(P), rollouts.isDoubtful(P)]).toEqual([2, false]);
    await vi.advanceTimersByTimeAsync(5000);
    expect(begun()).toEqual([]);
  });

  it("and takes long to be read leaves what was there, in doubt, until it is", async () => {
    await start(rollout("p", 1), rollout("q", 1));
    await changed("p", "running");
    await vi.advanceTimersByTimeAsync(1000);
    expect([revisionOf(P), waits(P)]).toEqual([1, false]);
    expect([rollouts.isDoubtful(P), rollouts.isDoubtful(Q)]).toEqual([true, false]);
    await only(begun()).answer([rollout("p", 2)]);
    expect([revisionOf(P), rollouts.isDoubtful(P)]).toEqual([2, false]);
  });

  it("is heard before what was read shows it, since a label may have moved with it", async () => {
    await start(rollout("p", 1));
    await changed("p", "running");
    let atEnd: number | undefined;
    unheard = () => {
      unheard = () => {};
      atEnd = revisionOf(P);
      void changed("p", "promoted");
    };
    await only(begun()).answer([]);
    expect(atEnd).toBe(1);
    expect(revisionOf(P)).toBeUndefined();
    await only(begun()).answer([]);
    expect(waits(P)).toBe(false);

    await start(rollout("p", 1));
    await lost();
    unheard = () => {
      atEnd = revisionOf(P);
      void changed("p", "promoted");
    };
    atEnd = undefined;
    await only(begun()).answer([]);
    expect(atEnd).toBe(1);
    expect(revisionOf(P)).toBeUndefined();
  });

  it("overtakes the read of the one before", async () => {
    await start();
    await changed("p", "running");
    const first = only(begun());
    await changed("p", "running");
    const second = only(begun());
    await second.answer([rollout("p", 2)]);
    await first.answer([rollout("p", 1)]);
    expect(revisionOf(P)).toBe(2);

    await changed("p", "running");
    const failing = only(begun());
    await changed("p", "running");
    await only(begun()).answer([rollout("p", 4)]);
    await failing.fail();
    expect(rollouts.isDoubtful(P)).toBe(false);
    await vi.advanceTimersByTimeAsync(500);
    expect(begun()).toEqual([]);
  });
});

describe("a history that is another one", () => {
  it("has all read again, and what was read before is of no use", async () => {
    await start(rollout("p", 1));
    await changed("p", "running");
    const outdated = only(begun());
    await lost();
    const all = only(begun());
    expect(waits(Q)).toBe(true);
    await outdated.answer([rollout("p", 9)]);
    expect(revisionOf(P)).toBe(1);
    await all.answer([rollout("q", 1)]);
    expect([revisionOf(P), revisionOf(Q)]).toEqual([undefined, 1]);
  });

  it("leaves no doubt and no retry behind", async () => {
    await start(rollout("p", 1));
    await changed("p", "running");
    await only(begun()).fail();
    await lost();
    await only(begun()).answer([]);
    expect(rollouts.isDoubtful(P)).toBe(false);
    await vi.advanceTimersByTimeAsync(500);
    expect(begun()).toEqual([]);
  });
});

describe("a change that is heard while all are read", () => {
  it("is not undone by that, whichever is read first", async () => {
    for (const first of ["all", "prompt"]) {
      await lost();
      const all = only(begun());
      await changed("p", "running");
      const prompt = only(begun());
      const old = () => all.answer([rollout("p", 1), rollout("q", 1)]);
      const current = () => prompt.answer([rollout("p", 2)]);
      for (const answer of first === "all" ? [old, current] : [current, old]) await answer();
      expect([revisionOf(P), revisionOf(Q)]).toEqual([2, 1]);
      expect(lastKnown).toHaveLength(2);
    }
  });

  it("does not bring back what has ended", async () => {
    await start(rollout("p", 1));
    await lost();
    const all = only(begun());
    await changed("p", "aborted");
    await only(begun()).fail();
    await all.answer([rollout("p", 1), rollout("q", 1)]);
    expect([revisionOf(P), revisionOf(Q)]).toEqual([undefined, 1]);
  });

  it("is forgotten once they are", async () => {
    await start();
    await changed("p", "running");
    await only(begun()).answer([rollout("p", 1)]);
    await lost();
    await only(begun()).answer([rollout("p", 2)]);
    expect(revisionOf(P)).toBe(2);
  });
});
