import {
  type Arbitrary,
  type AsyncCommand,
  array,
  assert as assertProperty,
  asyncModelRun,
  asyncProperty,
  constant,
  constantFrom,
  nat,
  oneof,
  record,
} from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PromptdError } from "../../src/core/errors.ts";
import { stateOf } from "../../src/core/sync/state.ts";
import type { RunReport } from "../../src/sync/report.ts";
import type { RunOptions, Sync } from "../../src/sync/sync.ts";
import { SyncBench } from "./bench.ts";
import { Crash, Fate } from "./crashing.ts";
import { REMOTES, type TestRemote } from "./remotes.ts";

/** Of each prompt, what both sides may have held last, as far as anybody can know after a crash. */
type Model = Map<string, Set<string | undefined>>;

interface Real {
  bench: SyncBench;
  /** The same folder and remote, for people who never crash. */
  others: SyncBench;
  fate: Fate;
  names: readonly string[];
  isPicky: boolean;
  /** For contents of which no two are alike. */
  count: number;
}

interface Sides {
  local: string | undefined;
  /** Newest first. */
  remote: string[];
}

type Command = AsyncCommand<Model, Real>;

const file = (name: string) => `${name}.md`;

async function sidesOf({ others }: Real, name: string): Promise<Sides> {
  return { local: await others.read(file(name)), remote: await others.versions(name) };
}

async function allSides(real: Real): Promise<Map<string, Sides>> {
  const sides = new Map<string, Sides>();
  for (const name of real.names) sides.set(name, await sidesOf(real, name));
  return sides;
}

/** Status says of each prompt what its contents say. */
async function expectTruth(model: Model, real: Real): Promise<void> {
  const status = await real.bench.sync.status();
  for (const name of real.names) {
    const { local, remote } = await sidesOf(real, name);
    const bases = [...(model.get(name) ?? [undefined])];
    const states = bases.map((base) => stateOf({ base, local, remote: remote[0] }));
    const told = status.prompts.find((each) => each.name === name)?.state;
    expect(states, `${name}: ${told}`).toContain(told);
  }
}

/** Somebody changes a side. */
class Edit implements Command {
  readonly name: string;
  readonly side: "local" | "remote" | "both";
  readonly what: "new" | "older" | "delete";
  /** What it wrote last, where that is like nothing else. */
  made: string | undefined;

  constructor(name: string, side: Edit["side"], what: Edit["what"]) {
    this.name = name;
    this.side = side;
    this.what = what;
  }

  check = () => true;

  async run(model: Model, real: Real): Promise<void> {
    await this.change(real);
    await expectTruth(model, real);
  }

  async change(real: Real): Promise<void> {
    const bench = real.others;
    const { local, remote } = await sidesOf(real, this.name);
    const content = this.what === "older" ? remote.at(-1) : `${this.name} ${++real.count}\nx\n`;
    this.made = this.what === "new" ? content : undefined;
    if (this.side !== "remote") {
      if (this.what !== "delete" && content !== undefined) {
        await bench.write(file(this.name), content);
      } else if (this.what === "delete" && local !== undefined) {
        await bench.delete(file(this.name));
      }
    }
    if (this.side !== "local") {
      if (this.what !== "delete" && content !== undefined) {
        if (!real.isPicky || content !== remote[0]) await bench.create(this.name, content);
      } else if (this.what === "delete" && remote.length > 0) await bench.withdraw(this.name);
    }
  }

  toString = () => `${this.side} ${this.what} ${this.name}`;
}

/** What a command of the sync made the base of a prompt. */
function baseAfter(outcome: string | undefined, before: Sides, base: string | undefined) {
  switch (outcome) {
    case "write":
    case "rebase":
    case "merge":
      return before.remote[0];
    case "send":
    case "agree":
      return before.local;
    case "remove":
    case "withdraw":
    case "forget":
      return undefined;
    default:
      return base;
  }
}

/** A command of the sync, that may end in the middle. */
class SyncCommand implements Command {
  readonly how: string;
  readonly act: (sync: Sync, dryRun: boolean) => Promise<RunReport | undefined>;
  readonly crashAfter: number | undefined;
  readonly race: Edit | undefined;

  constructor(
    how: string,
    act: SyncCommand["act"],
    crashAfter: number | undefined,
    race: Edit | undefined,
  ) {
    this.how = how;
    this.act = act;
    this.crashAfter = crashAfter;
    this.race = race;
  }

  check = () => true;

  async run(model: Model, real: Real): Promise<void> {
    const { bench, fate } = real;
    const before = await allSides(real);
    const backups = await contents(bench);
    const predicted = await this.act(bench.sync, true);
    const { race } = this;
    let raced = false;
    if (race !== undefined) {
      fate.meanwhile = async () => {
        raced = true;
        await race.change(real);
      };
    }
    fate.begin(this.crashAfter);
    const report = await this.act(bench.sync, false).catch((thrown) => {
      if (!(thrown instanceof Crash)) throw thrown;
      return "crashed" as const;
    });
    fate.begin(undefined);
    fate.meanwhile = undefined;

    const after = await allSides(real);
    if (race !== undefined && raced && race.made !== undefined && race.side !== "local") {
      const [newest] = after.get(race.name)?.remote ?? [];
      // LangSmith deletes what there is when it is asked, whatever was seen before.
      const isGone = real.isPicky && newest === undefined;
      if (!isGone) expect(newest, "a race is a conflict").toBe(race.made);
    }
    await this.expectNothingLost(real, before, after, backups, raced);
    for (const name of real.names) {
      const sides = before.get(name) ?? { local: undefined, remote: [] };
      const bases = model.get(name) ?? new Set([undefined]);
      if (report === "crashed" || raced) {
        const now = after.get(name);
        const possible = [...bases, undefined, sides.local, sides.remote[0], now?.remote[0]];
        model.set(name, new Set(possible));
      } else if (this.how === "init") {
        model.set(name, new Set([sides.local === sides.remote[0] ? sides.local : undefined]));
      } else if (this.how === `rollback ${name}` && sides.remote[0] !== undefined) {
        // Where it was possible, the file is an edit of what is there.
        model.set(name, new Set([...bases, sides.remote[0]]));
      } else {
        const outcome = report?.items.find((item) => item.name === name)?.outcome;
        const known = [...bases].map((base) => baseAfter(outcome, sides, base));
        model.set(name, new Set(known));
      }
    }
    if (report !== "crashed" && !raced && report !== undefined && predicted !== undefined) {
      const items = report.items.map(({ version: _, ...item }) => item);
      expect({ ...report, items }).toEqual({ ...predicted, dryRun: false });
    }
    await expectTruth(model, real);
  }

  /** What was anywhere is somewhere still. */
  async expectNothingLost(
    { bench }: Real,
    before: Map<string, Sides>,
    after: Map<string, Sides>,
    backups: Set<string>,
    raced: boolean,
  ): Promise<void> {
    const kept = await contents(bench);
    for (const backup of backups) expect(kept).toContain(backup);
    for (const { local, remote } of after.values()) {
      if (local !== undefined) kept.add(local);
      for (const version of remote) kept.add(version);
    }
    for (const [name, { local, remote }] of before) {
      // What people overwrite or delete themselves is not for the sync to keep.
      if (raced && name === this.race?.name) continue;
      const now = after.get(name);
      // What was synced may go with its prompt, where that was asked for.
      const unsynced = now?.remote.length === 0 ? remote.slice(0, 1) : remote;
      for (const content of [local, ...unsynced]) {
        if (content !== undefined) expect(kept, `${name} ${this.how}`).toContain(content);
      }
    }
  }

  toString = () =>
    `${this.how}${this.crashAfter === undefined ? "" : ` crashes after ${this.crashAfter}`}${this.race ? ` while ${this.race}` : ""}`;
}

/** What the backups hold. */
async function contents(bench: SyncBench): Promise<Set<string>> {
  const backups = await bench.backedUp();
  return new Set(backups.flatMap(({ content }) => content ?? []));
}

const orNothing = async <Answer>(asked: Promise<Answer>): Promise<Answer | undefined> =>
  asked.catch((thrown) => {
    if (thrown instanceof PromptdError && thrown.code !== "internal") return undefined;
    throw thrown;
  });

/** Once in so many times. */
const sometimes = <Value>(arbitrary: Arbitrary<Value>, times: number) =>
  oneof({ weight: 1, arbitrary }, { weight: times - 1, arbitrary: constant(undefined) });

/** What people and programs do to prompts of these names. */
function commandsOn(names: readonly string[]): Arbitrary<Command> {
  const name = constantFrom(...names);

  const edit = record({
    name,
    side: constantFrom("local", "remote", "both"),
    what: constantFrom("new", "new", "new", "older", "delete"),
  }).map(({ name, side, what }) => new Edit(name, side as never, what as never));

  const options = record({
    force: sometimes(constant(true), 2),
    delete: sometimes(constant(true), 2),
    autoResolve: sometimes(constantFrom("local", "remote", "newest"), 4),
    authority: sometimes(constantFrom("local", "remote"), 4),
    autoPush: sometimes(constant(true), 4),
    names: sometimes(
      name.map((each) => [each]),
      4,
    ),
  }).map((all) =>
    Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)),
  );

  const run = oneof(
    record({ direction: constantFrom("pull", "push"), options }).map(({ direction, options }) => ({
      how: `${direction} ${JSON.stringify(options)}`,
      act: (sync: Sync, dryRun: boolean) =>
        orNothing(sync[direction as "pull"]({ ...(options as RunOptions), dryRun })),
    })),
    record({ name, strategy: constantFrom("local", "remote", "merge") }).map(
      ({ name, strategy }) => ({
        how: `resolve ${name} ${strategy}`,
        act: (sync: Sync, dryRun: boolean) =>
          orNothing(sync.resolve(name, strategy as never, { dryRun })),
      }),
    ),
  );

  /** Those that tell no outcome of prompts. */
  const other = oneof(
    constant({
      how: "init",
      act: (sync: Sync) => sync.init({ force: true }).then(() => undefined),
    }),
    name.map((name) => ({
      how: `mark ${name}`,
      act: (sync: Sync) => orNothing(sync.markEdited(name)).then(() => undefined),
    })),
    name.map((name) => ({
      how: `rollback ${name}`,
      act: async (sync: Sync) => {
        const oldest = (await orNothing(sync.log(name)))?.versions.at(-1)?.version;
        await orNothing(sync.rollback(name, oldest ?? 1));
        return undefined;
      },
    })),
    name.map((name) => ({
      how: `restore ${name}`,
      act: (sync: Sync) => orNothing(sync.restore({ name })).then(() => undefined),
    })),
  ).map(({ how, act }) => ({
    how,
    act: (sync: Sync, dryRun: boolean) => (dryRun ? Promise.resolve(undefined) : act(sync)),
  }));

  const syncing = record({
    what: oneof({ weight: 4, arbitrary: run }, { weight: 1, arbitrary: other }),
    crashAfter: sometimes(nat(20), 3),
    race: sometimes(edit, 5),
  }).map(({ what, crashAfter, race }) => new SyncCommand(what.how, what.act, crashAfter, race));

  return oneof({ weight: 3, arbitrary: edit }, { weight: 2, arbitrary: syncing });
}

describe.each(REMOTES)("a folder and $name", ({ name: kind, isPicky = false, start }) => {
  const names = ["a", "b", isPicky ? "c" : "folder/c"];
  let remote: TestRemote;

  beforeAll(async () => {
    remote = await start();
  });

  afterAll(() => remote.close());

  const usually = isPicky ? 10 : kind === "a registry" ? 80 : 15;
  const numRuns = Number(process.env.PROMPTD_SYNC_RUNS ?? usually);

  it("know how they stand and lose nothing, whatever happens", { timeout: 600_000 }, async () => {
    const property = asyncProperty(
      array(commandsOn(names), {
        minLength: 10,
        maxLength: 40,
        size: "max",
      }),
      async (all) => {
        const fate = new Fate();
        const source = fate.of(remote.source);
        const others = await SyncBench.open(remote);
        const bench = others.with({ remote: { ...remote, source }, onWrite: fate.onWrite });
        try {
          for (const each of names) await others.create(each, `${each} at first\n`);
          await bench.sync.init();
          await bench.sync.pull();
          const bases = names.map((each) => [each, new Set([`${each} at first\n`])] as const);
          const real: Real = { bench, others, fate, names, isPicky, count: 0 };
          await asyncModelRun(() => ({ model: new Map(bases), real }), all);
          // Whatever it has come to, both sides can be brought together.
          await bench.sync.push({ force: true, delete: true });
          await bench.sync.pull({ force: true, delete: true });
          expect((await bench.sync.status()).clean).toBe(true);
        } finally {
          await others.clear();
          await others.close();
        }
      },
    );
    await assertProperty(property, { numRuns, seed: 6, endOnFailure: false });
  });
});
