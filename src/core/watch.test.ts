import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Answer } from "./answer.ts";
import type { ChangeListener } from "./cache-ports.ts";
import type { Change, ChangeKind } from "./change.ts";
import { PromptdError } from "./errors.ts";
import type { Question, Resolved } from "./resolver.ts";
import type { StandingRollout } from "./rollout/rollout.ts";
import { CONTROL } from "./rollout/table.ts";
import { Watch, type WatchEvent } from "./watch.ts";
import type { Told } from "./watched-answers.ts";

/** A prompt as the resolver answers it; of what it includes only the names matter. */
interface Stub {
  version: number;
  includes?: string[];
  stale?: boolean;
  bytes?: number;
}

let prompts: Record<string, Stub | PromptdError>;
/** By prompt; undefined: nobody asks for them. */
let rollouts: Record<string, StandingRollout> | undefined;
let history: Pick<Change, "revision" | "name" | "project">[];
let applied: number;
let silent: boolean;
let listeners: Set<ChangeListener>;
let caughtUp: () => void;
let tail: {
  from: (revision: number, limit: number) => Promise<{ change: Change; hash: string }[]>;
};
let controller: AbortController;
let admit: () => Promise<void>;
/** Names that the resolver was asked for. */
let asked: string[];
/** Answers wait for it. */
let held: Promise<void>;

beforeEach(() => {
  vi.useFakeTimers();
  prompts = { a: { version: 1 }, b: { version: 1 } };
  rollouts = undefined;
  history = [];
  applied = 0;
  silent = false;
  listeners = new Set();
  caughtUp = () => {};
  admit = async () => {};
  asked = [];
  held = Promise.resolve();
  controller = new AbortController();
  tail = {
    from: async (revision, limit) =>
      history
        .filter((each) => each.revision >= revision)
        .slice(0, limit)
        .map((change) => ({ change: change as Change, hash: "" })),
  };
});

afterEach(() => {
  controller.abort();
  vi.useRealTimers();
});

function change(name: string, stub?: Stub | PromptdError, more: Partial<Change> = {}): void {
  if (stub !== undefined) prompts[name] = stub;
  applied++;
  const changed = {
    kind: "labels_set" as ChangeKind,
    project: "p",
    name,
    revision: applied,
    ...more,
  };
  history.push(changed);
  for (const { changed: tell } of listeners) tell(changed as Change);
}

const notFound = () => new PromptdError("not_found", "there is none");

function watch(names: readonly string[], after?: number) {
  const events = new Watch({
    questions: names.map((name) => ({ name, selector: { label: "production" } })),
    caller: { project: "p", actor: "key_1", signal: controller.signal },
    after,
    ...(rollouts && { rollouts: true }),
    resolver: {
      resolve: async (_, question) => resolved(question),
      rolloutOf: async (_, { name }) => rollouts?.[name],
      resolveArm: async (_, { name, selector }, __, arm) =>
        resolved({ name: arm === CONTROL ? name : `${name} ${arm}`, selector }),
    },
    feed: {
      get position() {
        return { revision: applied, hash: `hash ${applied}` };
      },
      get applied() {
        return applied;
      },
      get silent() {
        return silent;
      },
      subscribe(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      catchUp: async () => caughtUp(),
    },
    tail: { from: (revision, limit) => tail.from(revision, limit) },
    admit: () => admit(),
    room: {
      bytes: 100,
      of: ({ outcome }) =>
        outcome instanceof PromptdError
          ? 0
          : ((outcome.choice.answer as unknown as Stub).bytes ?? 1),
    },
  }).events();
  /** The next event, as texts; `undefined` where none comes before the clock is moved. */
  const next = async () => shown((await events.next()).value as WatchEvent);
  return { events, next };
}

async function resolved({ name }: Question): Promise<Resolved> {
  asked.push(name);
  const stub = prompts[name] ?? notFound();
  await held;
  if (stub instanceof PromptdError) throw stub;
  const { version, includes = [], stale = false, bytes } = stub;
  const of = (included: string) => prompts[included] as Stub;
  const components = includes.map((included) => ({
    name: included,
    version: of(included).version,
    contentHash: "",
  }));
  const state = { version, contentHash: "", revision: 0, updatedAt: new Date(0) };
  const answer = { version: state, components, bytes } as unknown as Answer;
  const choice = { answer, asked: { label: "production" }, reason: "label" as const };
  return { choice, bucket: undefined, tier: "memory", stale, ageMs: 0 };
}

function shown(event: WatchEvent): [revision: number, ...told: string[]] {
  const text = (outcome: Resolved | PromptdError) =>
    outcome instanceof PromptdError ? outcome.code : `v${outcome.choice.answer.version.version}`;
  const all = ({ outcome, split }: Told) =>
    [outcome, ...(split?.arms ?? [])].map(text).join(split ? ` r${split.rollout.revision} ` : "");
  switch (event.kind) {
    case "snapshot":
      return [event.revision, "snapshot", ...event.items.map(all)];
    case "update":
      return [event.revision, ...event.items.map((told) => `${told.index} ${all(told)}`)];
    case "heartbeat":
      return [event.revision, event.stale ? "stale" : "current"];
  }
}

/** Whether there is nothing to tell now. */
async function isQuiet(next: Promise<unknown>): Promise<boolean> {
  let told = false;
  next.then(
    () => {
      told = true;
    },
    () => {},
  );
  await vi.advanceTimersByTimeAsync(9000);
  return !told;
}

describe("who watches", () => {
  it("is told a snapshot, then the newest state of what has changed, and not each step", async () => {
    const { next } = watch(["a", "b", "none"]);
    expect(await next()).toEqual([0, "snapshot", "v1", "v1", "not_found"]);
    change("a", { version: 2 });
    change("a", { version: 3 });
    change("none", { version: 1 });
    change("other", { version: 1 });
    expect(await next()).toEqual([4, "0 v3", "2 v1"]);
    change("a", notFound());
    expect(await next()).toEqual([5, "0 not_found"]);
  });

  it("is told nothing of a change that changes no answer of its own", async () => {
    const { next } = watch(["a"]);
    await next();
    const waiting = next();
    change("a");
    change("b", { version: 2 });
    change("a", undefined, { project: "other" });
    expect(await isQuiet(waiting)).toBe(true);
    expect(asked).toEqual(["a", "a"]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await waiting).toEqual([3, "current"]);
  });

  it("is told of changes that come while an event is not taken, at once when it is", async () => {
    const { next } = watch(["a"]);
    await next();
    for (let version = 2; version < 1000; version++) change("a", { version });
    expect(asked).toEqual(["a"]);
    expect(await next()).toEqual([998, "0 v999"]);
    expect(asked).toEqual(["a", "a"]);
  });

  it("is told where a part has changed that was included only just before", async () => {
    const { next } = watch(["a"]);
    await next();
    const waiting = next();
    let release = () => {};
    held = new Promise((resolve) => {
      release = resolve;
    });
    change("a", { version: 2, includes: ["b"] });
    await vi.advanceTimersByTimeAsync(0);
    const before = prompts.b as Stub;
    change("b", { version: 2 });
    prompts.b = before;
    release();
    expect(await waiting).toEqual([1, "0 v2"]);
    prompts.b = { version: 2 };
    expect(await next()).toEqual([2, "0 v2"]);
    change("b", { version: 3 });
    expect(await next()).toEqual([3, "0 v2"]);
  });

  it("is told of whatever changes where nobody knows what an answer is made of", async () => {
    prompts.a = new PromptdError("refused", "it includes what is not there");
    const { next } = watch(["a"]);
    expect(await next()).toEqual([0, "snapshot", "refused"]);
    prompts.a = { version: 1 };
    change("part");
    expect(await next()).toEqual([1, "0 v1"]);
  });

  it("is told all anew where the history is another one", async () => {
    change("a");
    const { next } = watch(["a", "b"]);
    expect(await next()).toEqual([1, "snapshot", "v1", "v1"]);
    applied = 0;
    for (const { lost } of listeners) lost();
    expect(await next()).toEqual([0, "snapshot", "v1", "v1"]);
  });

  it("gets what does not fit into one event with the next, and no revision before", async () => {
    for (const name of ["a", "b", "c"]) prompts[name] = { version: 1, bytes: 60 };
    change("a");
    const { next } = watch(["a", "b", "c"]);
    expect(await next()).toEqual([0, "snapshot", "v1", "too_large", "too_large"]);
    expect(await next()).toEqual([0, "1 v1"]);
    expect(await next()).toEqual([1, "2 v1"]);
  });
});

describe("what nobody can vouch for", () => {
  it("is told in a snapshot, and again once it is known", async () => {
    change("a", { version: 1, stale: true });
    prompts.b = new PromptdError("unavailable", "the database is away");
    const { next } = watch(["a", "b"]);
    expect(await next()).toEqual([0, "snapshot", "v1", "unavailable"]);
    const waiting = next();
    await vi.advanceTimersByTimeAsync(3000);
    prompts.a = { version: 2 };
    prompts.b = { version: 1 };
    await vi.advanceTimersByTimeAsync(1000);
    expect(await waiting).toEqual([1, "0 v2", "1 v1"]);
  });

  it("is no news later, and the revision stays", async () => {
    change("a");
    const { next } = watch(["a"]);
    await next();
    change("a", { version: 9, stale: true });
    const waiting = next();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await waiting).toEqual([1, "stale"]);
    prompts.a = { version: 2 };
    const known = next();
    await vi.advanceTimersByTimeAsync(1000);
    expect(await known).toEqual([2, "0 v2"]);
  });

  it("is not looked at again while nothing is heard at all", async () => {
    silent = true;
    change("a", { version: 1, stale: true });
    const { next } = watch(["a"]);
    await next();
    const waiting = next();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await waiting).toEqual([0, "stale"]);
    expect(asked).toEqual(["a"]);
  });
});

describe("who goes on behind a revision", () => {
  beforeEach(() => {
    prompts.a = { version: 1, includes: ["part"] };
    prompts.part = { version: 1 };
    change("a");
    change("b");
  });

  it("is told what has changed since, parts included, and nothing else", async () => {
    expect(await watch(["a", "b"], 2).next()).toEqual([2]);
    change("part", { version: 2 });
    change("x", undefined, { project: "other" });
    expect(await watch(["a", "b"], 2).next()).toEqual([4, "0 v1"]);
    const { next } = watch(["a", "b"], 3);
    expect(await next()).toEqual([4]);
    change("b", { version: 2 });
    expect(await next()).toEqual([5, "1 v2"]);
  });

  it("waits for what another replica has told already", async () => {
    caughtUp = () => change("b", { version: 2 });
    expect(await watch(["a", "b"], 3).next()).toEqual([3]);
  });

  it("is told all where the history does not go that far, in either direction", async () => {
    const all = ["snapshot", "v1", "v1"];
    expect(await watch(["a", "b"], 3).next()).toEqual([2, ...all]);
    expect(await watch(["a", "b"], 0).next()).toEqual([2, ...all]);
    history.shift();
    expect(await watch(["a", "b"], 1).next()).toEqual([2, ...all]);
    for (let count = 0; count < 10_000; count++) change("x");
    expect((await watch(["a", "b"], 2).next())[1]).toBe("snapshot");
    expect(await watch(["a", "b"], 100).next()).toEqual([10_002]);
  });

  it("is told all where the history cannot be read", async () => {
    tail.from = async () => {
      throw new PromptdError("unavailable", "the database is away");
    };
    expect((await watch(["a"], 2).next())[1]).toBe("snapshot");
  });

  it("misses no change that comes while the history is read", async () => {
    const { from } = tail;
    tail.from = async (revision, limit) => {
      const page = await from(revision, limit);
      change("part", { version: 2 });
      return page;
    };
    expect(await watch(["a", "b"], 2).next()).toEqual([3, "0 v1"]);
  });
});

describe("a watch ends", () => {
  it("with its signal, also while nobody takes an event, and leaves no listener", async () => {
    const { events, next } = watch(["a"]);
    await next();
    expect(listeners.size).toBe(1);
    controller.abort(new PromptdError("unavailable", "stopping"));
    expect(listeners.size).toBe(0);
    await expect(events.next()).rejects.toThrow("stopping");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("with its signal while it waits", async () => {
    const { next } = watch(["a"]);
    await next();
    const waiting = next();
    const failed = expect(waiting).rejects.toMatchObject({ code: "canceled" });
    await vi.advanceTimersByTimeAsync(1);
    controller.abort();
    await failed;
    expect(vi.getTimerCount()).toBe(0);
  });

  it("when its reader ends it", async () => {
    const { events, next } = watch(["a"]);
    await next();
    await events.return(undefined as never);
    expect(listeners.size).toBe(0);
  });

  it("when its key is changed, and would not be let in any more", async () => {
    const { next } = watch(["a"]);
    await next();
    admit = async () => {
      throw new PromptdError("unauthenticated", "revoked");
    };
    change("key_2", undefined, { kind: "key_revoked" });
    change("a", { version: 2 });
    expect(await next()).toEqual([2, "0 v2"]);
    change("key_1", undefined, { kind: "key_revoked" });
    await expect(next()).rejects.toThrow("revoked");
    expect(listeners.size).toBe(0);
  });

  it("when its key has expired, however much there is to tell", async () => {
    const { next } = watch(["a"]);
    await next();
    let expired = false;
    admit = async () => {
      if (expired) throw new PromptdError("unauthenticated", "expired");
    };
    for (let version = 2; version < 12; version++) {
      await vi.advanceTimersByTimeAsync(1000);
      change("a", { version });
      expect((await next())[1]).toBe(`0 v${version}`);
    }
    expired = true;
    const failed = expect(next()).rejects.toThrow("expired");
    await vi.advanceTimersByTimeAsync(10_000);
    await failed;
  });

  it("with a defect of what it asks", async () => {
    prompts.a = new PromptdError("internal", "a defect");
    await expect(watch(["a"]).next()).rejects.toThrow("a defect");
    expect(listeners.size).toBe(0);
  });
});

describe("a watcher that asks for rollouts", () => {
  const rollout = (revision: number, ...arms: string[]) =>
    ({ revision, arms: arms.map((name) => ({ name })) }) as unknown as StandingRollout;

  beforeEach(() => {
    rollouts = { a: rollout(1, "x", "y") };
    prompts = { ...prompts, "a x": { version: 2 }, "a y": { version: 3 } };
  });

  it("is told what each arm's callers are given, and when that or the rollout changes", async () => {
    const { next } = watch(["a", "b"]);
    expect(await next()).toEqual([0, "snapshot", "v1 r1 v2 r1 v3", "v1"]);
    change("a", undefined);
    change("a", { version: 1 });
    prompts["a y"] = { version: 4 };
    expect(await next()).toEqual([2, "0 v1 r1 v2 r1 v4"]);
    rollouts = { a: rollout(3, "x") };
    change("a", undefined);
    expect(await next()).toEqual([3, "0 v1 r3 v2"]);
    rollouts = {};
    change("a", undefined);
    expect(await next()).toEqual([4, "0 v1"]);
  });

  it("is told of an arm that cannot be answered with, and of control that cannot", async () => {
    prompts["a x"] = notFound();
    prompts.a = new PromptdError("refused", "it includes what is gone");
    const { next } = watch(["a"]);
    expect(await next()).toEqual([0, "snapshot", "refused r1 not_found r1 v3"]);
  });

  it("is told nothing new while an arm is in doubt", async () => {
    const { next } = watch(["a", "b"]);
    await next();
    prompts["a x"] = new PromptdError("unavailable", "gone");
    change("a", { version: 5 });
    change("b", { version: 2 });
    expect((await next()).slice(1)).toEqual(["1 v2"]);
    prompts["a x"] = { version: 2 };
    const told = next();
    await vi.advanceTimersByTimeAsync(1000);
    expect(await told).toEqual([2, "0 v5 r1 v2 r1 v3"]);
  });

  it("is told of what an arm includes", async () => {
    prompts["a x"] = { version: 2, includes: ["b"] };
    const { next } = watch(["a"]);
    await next();
    change("b", { version: 2 });
    expect(await next()).toEqual([1, "0 v1 r1 v2 r1 v3"]);
  });
});
