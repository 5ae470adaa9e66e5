import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Memory } from "../../src/cache/memory.ts";
import { canonicalBody, contentHash } from "../../src/core/content-hash.ts";
import { PromptdError } from "../../src/core/errors.ts";
import { Feed } from "../../src/core/feed.ts";
import type { PromptSource } from "../../src/core/ports.ts";
import type { Selector } from "../../src/core/prompt.ts";
import { Resolver } from "../../src/core/resolver.ts";
import { Tiers } from "../../src/core/tiers.ts";
import { backup, restore } from "../../src/store/backup.ts";
import { changeTail } from "../../src/store/change-tail.ts";
import type { Database } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import { temporaryDirectory, text } from "./fixtures.ts";

const CALLER = { project: "default", actor: "model" };

const NAMES = ["a"];
const LABELS = ["production"];
const SELECTORS: Selector[] = [{ version: 1 }, { label: "production" }];

const FRESH_MS = 10_000;

/** How long it is remembered that something does not exist. */
const MISSING_MS = 3000;

/** What a selector leads to, or why it leads nowhere. */
type Told = string;

const question = fc.record({
  name: fc.constantFrom(...NAMES),
  selector: fc.constantFrom(...SELECTORS),
});

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("create"),
      name: fc.constantFrom(...NAMES),
      body: fc.nat(3),
      label: fc.constantFrom(undefined, ...LABELS),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("move"),
      name: fc.constantFrom(...NAMES),
      label: fc.constantFrom(...LABELS),
      version: fc.nat(3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("tag"),
      name: fc.constantFrom(...NAMES),
      tag: fc.constantFrom("x", "y"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("delete"), name: fc.constantFrom(...NAMES) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("back up") }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restore") }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant("ask"), replica: fc.nat(1), question }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("catch up"), replica: fc.nat(1) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("grow old"), replica: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("start anew"), replica: fc.nat(1) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("turn") }) },
);

/** A process that answers from its memory, with a source that takes its time. */
class Replica {
  readonly #database: Database;
  readonly #source: PromptSource;
  #now = 0;
  #feed!: Feed;
  #resolver!: Resolver;
  /** The last moment of which it has heard all. */
  heard = 0;

  constructor(database: Database) {
    this.#database = database;
    const registry = new Registry(database);
    const slow: Pick<PromptSource, "load"> = {
      load: async (caller, name, selector) => {
        await setImmediate();
        const outcome = await registry.load(caller, name, selector).then(
          (version) => () => version,
          (error) => () => {
            throw error;
          },
        );
        await setImmediate();
        return outcome();
      },
    };
    this.#source = slow as PromptSource;
  }

  async start(moment: number): Promise<void> {
    this.#feed = new Feed(changeTail(this.#database), { pollMs: 3_600_000 });
    const memory = new Memory(64 * 1024);
    const clock = { now: () => this.#now, random: () => 0.5 };
    const tiers = new Tiers({
      memory,
      source: this.#source,
      lastKnownGood: { get: () => undefined, put() {}, remove() {} },
      fallback: { find: () => undefined },
      feed: this.#feed,
      freshMs: FRESH_MS,
      ...clock,
    });
    this.#resolver = new Resolver(tiers, memory, clock.now);
    await this.#feed.start();
    this.#feed.close();
    this.heard = moment;
  }

  /** And is asked again once it has forgotten what did not exist, which a restore may have brought back unheard. */
  async catchUp(moment: number): Promise<void> {
    await this.#feed.catchUp();
    this.#now += MISSING_MS;
    this.heard = Math.max(this.heard, moment);
  }

  growOld(): void {
    this.#now += 2 * FRESH_MS;
  }

  async ask(name: string, selector: Selector): Promise<Told> {
    try {
      const { answer } = await this.#resolver.resolve(CALLER, { name, selector });
      const { version } = answer;
      expect(contentHash(canonicalBody(version.body))).toBe(version.contentHash);
      return told(version);
    } catch (thrown) {
      return told(thrown);
    }
  }
}

function told(outcome: unknown): Told {
  if (outcome instanceof PromptdError && outcome.code === "not_found") return "nothing";
  if (outcome instanceof Error) throw outcome;
  const { name, version, body, labels, tags } = outcome as Awaited<ReturnType<Registry["load"]>>;
  return JSON.stringify({ name, version, body, labels, tags });
}

/** Runs steps, and checks that no answer is older than what its replica had heard when it was asked. */
async function run(steps: readonly Record<string, unknown>[]): Promise<void> {
  const directory = temporaryDirectory();
  const path = join(directory, "promptd.db");
  const copy = join(directory, "copy.db");
  const database = await openDatabase(`sqlite:${path}`);
  await database.migrate();
  const registry = new Registry(database);
  /** What was true at each moment; a moment is between two mutations. */
  const moments: Map<string, Told>[] = [];
  const look = async () => {
    const truth = new Map<string, Told>();
    for (const name of NAMES) {
      for (const selector of SELECTORS) {
        const outcome = await registry.load(CALLER, name, selector).catch((error) => error);
        truth.set(JSON.stringify([name, selector]), told(outcome));
      }
    }
    moments.push(truth);
  };
  await look();
  const replicas = [new Replica(database), new Replica(database)];
  for (const replica of replicas) await replica.start(0);
  const asked: Promise<() => void>[] = [];
  let copied = false;
  try {
    for (const each of steps) {
      const {
        name = "",
        label = "",
        version = 0,
      } = each as { name?: string; label?: string; version?: number };
      const edit = { name, reason: "" };
      const replica = replicas[Number(each.replica ?? 0)] as Replica;
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
          const { name, selector } = each.question as { name: string; selector: Selector };
          const from = replica.heard;
          const id = JSON.stringify([name, selector]);
          const answer = replica.ask(name, selector).then((seen) => {
            // What is committed is seen a moment before it is looked at.
            const until = moments.length;
            return () => {
              const possible = moments.slice(from, until + 1).map((truth) => truth.get(id));
              expect(possible, `${id} from moment ${from} to ${until}`).toContain(seen);
            };
          });
          answer.catch(() => {});
          asked.push(answer);
          break;
        }
        case "catch up":
          await replica.catchUp(moments.length - 1);
          break;
        case "grow old":
          replica.growOld();
          break;
        case "start anew":
          await replica.start(moments.length - 1);
          break;
        default:
          await setImmediate();
      }
      if (mutation !== undefined) {
        await mutation.catch((thrown) => {
          if (PromptdError.from(thrown).code === "internal") throw thrown;
        });
        await look();
      }
    }
    for (const check of await Promise.all(asked)) check();
    for (const replica of replicas) {
      await replica.catchUp(moments.length - 1);
      for (const [id, truth] of moments.at(-1) ?? []) {
        const [name, selector] = JSON.parse(id) as [string, Selector];
        expect(await replica.ask(name, selector), id).toBe(truth);
      }
    }
  } finally {
    await Promise.allSettled(asked);
    await database.close();
  }
}

describe("two replicas that answer from memory", () => {
  it("tell nothing older than what they have heard, whatever happens meanwhile", async () => {
    const steps = fc.array(step, { minLength: 10, maxLength: 60 });
    await fc.assert(fc.asyncProperty(steps, run), { numRuns: 300, seed: 20_261_121 });
  }, 120_000);
});
