import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { Redis } from "ioredis";
import { describe, expect, it, onTestFinished } from "vitest";
import { PromptdError } from "../../src/core/errors.ts";
import type { Selector } from "../../src/core/prompt.ts";
import { backup, restore } from "../../src/store/backup.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import { temporaryDirectory, text } from "../registry/fixtures.ts";
import { SKIPPED_WITHOUT_REDIS, startRedis, withoutRedis } from "../support/redis-server.ts";
import { CALLER, FRESH_MS, MISSING_MS, Replica, type Told, told, type World } from "./replica.ts";

const NAMES = ["a"];
const LABELS = ["production"];
const SELECTORS: Selector[] = [{ version: 1 }, { label: "production" }];

/** Past it, answers say that nobody can tell whether they have changed. */
const SILENT_MS = 5000;

const name = fc.constantFrom(...NAMES);
const replica = fc.nat(1);

/** Who changes something and so hears of it; 2: another process. */
const by = fc.nat(2);

const STEPS = {
  create: [4, { by, name, body: fc.nat(3), label: fc.constantFrom(undefined, ...LABELS) }],
  move: [4, { by, name, label: fc.constantFrom(...LABELS), version: fc.nat(3) }],
  tag: [1, { by, name, tag: fc.constantFrom("x", "y") }],
  delete: [1, { by, name }],
  "back up": [1, {}],
  restore: [1, {}],
  ask: [12, { replica, name, selector: fc.constantFrom(...SELECTORS) }],
  "catch up": [4, { replica }],
  "grow old": [2, {}],
  "fall silent": [1, {}],
  "start anew": [2, { replica }],
  "cut from the database": [1, { replica }],
  "cut from Redis": [2, { replica }],
  mend: [3, { replica }],
  "lose Redis": [1, {}],
  turn: [3, {}],
} as const;

const step = fc.oneof(
  ...Object.entries(STEPS).map(([kind, [weight, more]]) => ({
    weight,
    arbitrary: fc.record({ do: fc.constant(kind as keyof typeof STEPS), ...more }),
  })),
);

interface Step {
  do: keyof typeof STEPS;
  by?: number;
  name?: string;
  label?: string;
  version?: number;
  body?: number;
  tag?: string;
  replica?: number;
  selector?: Selector;
}

/** What was true from a time on, by what is asked. */
interface Moment {
  from: number;
  truth: Map<string, Told>;
}

/**
 * Runs steps, and checks each answer. One that is not stale is no older than what its replica had
 * heard when it was asked; a stale one no older than it says.
 */
async function run(steps: readonly Step[], redisUrl?: string): Promise<void> {
  const directory = temporaryDirectory();
  const path = join(directory, "promptd.db");
  const copy = join(directory, "copy.db");
  const database = await openDatabase(`sqlite:${path}`);
  await database.migrate();
  const registry = new Registry(database);
  const world: World = { database, redisUrl, directory, now: 1_000_000 };
  const raw = redisUrl === undefined ? undefined : new Redis(redisUrl);
  await raw?.flushall();
  const moments: Moment[] = [];
  const look = async () => {
    const truth = new Map<string, Told>();
    for (const name of NAMES) {
      for (const selector of SELECTORS) {
        const outcome = await registry.load(CALLER, name, selector).catch((error) => error);
        truth.set(JSON.stringify([name, selector]), told(outcome));
      }
    }
    moments.push({ from: world.now++, truth });
  };
  for (const body of ["one", "two"]) {
    const version = { body: text(body), labels: LABELS, commitMessage: "" };
    await registry.createVersion(CALLER, { name: NAMES[0] as string, ...version });
  }
  await look();
  const replicas = [0, 1].map((index) => new Replica(world, index));
  for (const replica of replicas) await replica.start(0);
  const asked: Promise<() => void>[] = [];
  let copied = false;
  try {
    for (const each of steps) {
      const { name = "", label = "", version = 0, selector = { version: 1 } } = each;
      const edit = { name, reason: "" };
      const replica = replicas[each.replica ?? 0] as Replica;
      let mutation: Promise<unknown> | undefined;
      switch (each.do) {
        case "create":
          mutation = registry.createVersion(CALLER, {
            name,
            body: text(`body ${each.body}`),
            labels: label ? [label] : [],
            commitMessage: "",
          });
          break;
        case "move":
          mutation = registry.setLabels(CALLER, { ...edit, moves: [{ label, version }] });
          break;
        case "tag":
          mutation = registry.setTags(CALLER, { ...edit, tags: [String(each.tag)] });
          break;
        case "delete":
          mutation = registry.deleteVersions(CALLER, { ...edit, versions: "all" });
          break;
        case "back up":
          await rm(copy, { force: true });
          await backup(path, copy);
          copied = true;
          break;
        case "restore":
          if (copied) mutation = restore(path, copy);
          break;
        case "ask": {
          const from = replica.heard;
          const id = JSON.stringify([name, selector]);
          const answer = replica.ask(name, selector).then((seen) => {
            // What is committed is seen a moment before it is looked at.
            const until = moments.length + 1;
            return () => {
              if (seen === undefined) return;
              const since = seen.stale ? momentAt(moments, seen.readAt) : from;
              const possible = moments.slice(since, until).map(({ truth }) => truth.get(id));
              const said = `${id}, ${seen.stale ? "stale" : "fresh"}, from moment ${since} to ${until}`;
              expect(possible, said).toContain(seen.told);
            };
          });
          answer.catch(() => {});
          asked.push(answer);
          break;
        }
        case "catch up":
          await replica.catchUp(moments.length - 1);
          // Of what did not exist, a restore may have brought something back unheard.
          world.now += MISSING_MS;
          break;
        case "grow old":
          world.now += 2 * FRESH_MS;
          break;
        case "fall silent":
          world.now += 2 * SILENT_MS;
          break;
        case "start anew":
          if (!replica.cutFromDatabase) await replica.start(moments.length - 1);
          break;
        case "cut from the database":
          replica.cutFromDatabase = true;
          break;
        case "cut from Redis":
          replica.cutFromRedis = true;
          break;
        case "mend":
          replica.cutFromDatabase = false;
          replica.cutFromRedis = false;
          break;
        case "lose Redis":
          await raw?.flushall();
          break;
        case "turn":
          await setImmediate();
          break;
      }
      if (mutation !== undefined) {
        await mutation.catch((thrown) => {
          if (PromptdError.from(thrown).code === "internal") throw thrown;
        });
        await look();
        await replicas[each.by ?? 2]?.catchUp(moments.length - 1);
      }
    }
    for (const check of await Promise.all(asked)) check();
    for (const replica of replicas) {
      replica.cutFromDatabase = false;
      replica.cutFromRedis = false;
      for (const [id, truth] of moments.at(-1)?.truth ?? []) {
        const [name, selector] = JSON.parse(id) as [string, Selector];
        // What stood in for the database is asked for again behind the first answer.
        const fresh = async () => {
          await replica.catchUp(moments.length - 1);
          world.now += MISSING_MS;
          const answer = await replica.ask(name, selector);
          return answer?.stale ? "stale" : answer?.told;
        };
        await expect.poll(fresh, { message: id, interval: 1, timeout: 10_000 }).toBe(truth);
      }
    }
  } finally {
    await Promise.allSettled(asked);
    for (const replica of replicas) replica.close();
    raw?.disconnect();
    await database.close();
  }
}

/** The first moment that may have been the truth at a time. */
function momentAt(moments: readonly Moment[], time: number): number {
  return Math.max(
    0,
    moments.findLastIndex(({ from }) => from < time),
  );
}

const steps = fc.array(step, { minLength: 10, maxLength: 150, size: "max" }) as fc.Arbitrary<
  Step[]
>;

describe("two replicas", () => {
  it("tell nothing older than what they have heard, or than they say, whatever happens", async () => {
    const property = fc.asyncProperty(steps, (all) => run(all));
    await fc.assert(property, { numRuns: 100, seed: 20_261_121 });
  }, 120_000);

  const skipped = withoutRedis ? SKIPPED_WITHOUT_REDIS : "";
  it.skipIf(withoutRedis)(
    `do so with a Redis too, which may be lost${skipped}`,
    async () => {
      const server = await startRedis();
      onTestFinished(() => server.remove());
      const property = fc.asyncProperty(steps, (all) => run(all, server.url));
      await fc.assert(property, { numRuns: 100, seed: 20_261_121 });
    },
    240_000,
  );
});
