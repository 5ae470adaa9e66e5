import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CallCountRows } from "../../src/store/call-counts.ts";
import { openDatabase } from "../../src/store/open.ts";
import { type Json, type NeutralClient, protoLoaderClient } from "../support/clients.ts";
import { sharedDatabases } from "../support/postgres-databases.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";

const NAMES = ["counted/a", "counted/b"];
const SELECTORS = [
  {},
  { label: "production" },
  { label: "latest" },
  ...[1, 2, 3].map((version) => ({ version })),
];
const CALLERS = 12;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "promptd-counts-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Callers who ask replicas in all ways, until they are told to stop, and count the answers that they get. */
class Callers {
  /** By prompt, version and label. */
  readonly counts = new Map<string, number>();
  answers = 0;
  /** Of calls that failed though they are right. */
  readonly errors: string[] = [];
  #clients: NeutralClient[] = [];
  readonly #callers: Promise<void>[];
  #going = true;

  constructor(replicas: readonly ServiceProcess[]) {
    for (const replica of replicas) this.add(replica);
    this.#callers = Array.from({ length: CALLERS }, (_, index) => this.#go(index));
  }

  get replicas(): number {
    return this.#clients.length;
  }

  add({ grpcAddress }: ServiceProcess): void {
    this.#clients = [...this.#clients, protoLoaderClient(Number(grpcAddress.split(":").at(-1)))];
  }

  async more(answers: number): Promise<void> {
    const enough = this.answers + answers;
    while (this.answers < enough) await new Promise((resolve) => setImmediate(resolve));
  }

  async stop(): Promise<void> {
    this.#going = false;
    await Promise.all(this.#callers);
    for (const client of this.#clients) client.close();
  }

  async #go(seed: number): Promise<void> {
    const pick = picker(seed);
    while (this.#going) {
      const client = pick(this.#clients);
      const { method, request, refused } = question(pick);
      const seen = await client.call(method, request);
      if ("ok" in seen) this.#count(seen.ok);
      else if (seen.error === "UNAVAILABLE") this.#leave(client);
      else if (seen.error !== refused) this.errors.push(`${method}: ${seen.message}`);
    }
  }

  /** A replica that stops takes no more calls. */
  #leave(client: NeutralClient): void {
    client.close();
    this.#clients = this.#clients.filter((each) => each !== client);
  }

  #count({ resolution, items = [] }: Json): void {
    for (const { response } of items as { response?: Json }[]) if (response) this.#count(response);
    if (!resolution) return;
    const { name, version, label = "" } = resolution as Json;
    const key = `${name} ${version} ${label}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    this.answers++;
  }
}

type Pick = <Item>(items: readonly Item[]) => Item;

/** Picks items as if by chance, for the same seed the same ones. */
function picker(seed: number): Pick {
  let state = seed;
  return (items) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return items[Math.floor((state / 2 ** 32) * items.length)] as (typeof items)[number];
  };
}

/** A call, and the status of one that must fail. */
function question(pick: Pick): { method: string; request: Json; refused?: string } {
  const name = pick(NAMES);
  const ask = () => ({ name, ...pick(SELECTORS) });
  const missing = { name, version: 99 };
  switch (pick([0, 1, 2, 3, 4])) {
    case 0:
      return { method: "compile", request: { ...ask(), variables: { who: "x" } } };
    case 1:
      return { method: "batchGetPrompts", request: { requests: [ask(), missing, ask(), ask()] } };
    case 2:
      return { method: "compile", request: ask(), refused: "INVALID_ARGUMENT" };
    case 3:
      return { method: "getPrompt", request: missing, refused: "NOT_FOUND" };
    default:
      return { method: "getPrompt", request: { ...ask(), userId: "u" } };
  }
}

/** What the database has, as the callers count it. */
async function stored(url: string): Promise<Map<string, number>> {
  const database = await openDatabase(url);
  try {
    const counts = new Map<string, number>();
    for (const name of NAMES) {
      const caller = { project: "default", actor: "test" };
      const found = await new CallCountRows(database).of(caller, name, [1, 2, 3]);
      for (const [version, { by }] of found) {
        for (const { label, calls } of by) counts.set(`${name} ${version} ${label}`, calls);
      }
    }
    return counts;
  } finally {
    await database.close();
  }
}

describe.each(sharedDatabases(() => folder))("the counts on $database", ({ skip, url }) => {
  it.skipIf(skip)(
    "are those of all calls that two replicas answered, also through a SIGTERM",
    async () => {
      const databaseUrl = await url();
      const start = (data: string) =>
        spawnService({ PROMPTD_DATABASE_URL: databaseUrl, PROMPTD_DATA_DIR: join(folder, data) });
      const [steady, restarted] = await Promise.all([start("one"), start("two")]);
      for (const name of NAMES) {
        for (const text of ["one", "two", "three"]) {
          const template = { case: "text" as const, value: `${text} {{who}}` };
          await steady.prompts.createVersion({ name, template });
        }
        await steady.prompts.setLabels({ name, moves: [{ label: "production", version: 2 }] });
      }
      await restarted.prompts.setLabels({
        name: NAMES[0] as string,
        moves: [{ label: "production", version: 1 }],
        waitForReplicas: { seconds: 10n },
      });

      const callers = new Callers([steady, restarted]);
      await callers.more(1000);
      expect(await restarted.stop("SIGTERM")).toBe(0);
      await callers.more(100);
      expect(callers.replicas).toBe(1);
      const again = await start("two");
      callers.add(again);
      await callers.more(1000);
      await callers.stop();
      expect(callers.replicas).toBe(2);
      expect(callers.errors).toEqual([]);
      await Promise.all([steady.stop("SIGTERM"), again.stop("SIGTERM")]);

      expect(await stored(databaseUrl)).toEqual(callers.counts);
      // Two labels and three numbers of each prompt.
      expect(callers.counts.size).toBe(2 * 5);
    },
  );
});
