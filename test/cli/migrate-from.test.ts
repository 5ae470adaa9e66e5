import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "langsmith";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { manifestOf } from "../../src/sources/langsmith/manifest.ts";
import type { Database } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import { until } from "../langfuse/behind.ts";
import { json, type LangfuseService, startWithKeys } from "../langfuse/service.ts";
import { text } from "../langsmith/behind.ts";
import { reply, type StandIn, startStandIn } from "../langsmith/stand-in.ts";
import { startService, type TestService } from "../support/service.ts";
import { promptd, type Surroundings } from "./promptd.ts";

const CALLER = {
  project: "default",
  actor: "somebody",
  scopes: ["read", "write", "release", "admin"] as const,
};

let dir: string;
let here: Database;
let registry: Registry;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-migration-"));
  here = await openDatabase(`sqlite:${join(dir, "promptd.db")}`);
  await here.migrate();
  registry = new Registry(here);
});

afterEach(async () => {
  await here.close();
  await rm(dir, { recursive: true });
});

function migrateFrom(line: string, { env, ...rest }: Surroundings = {}) {
  const all = { PROMPTD_DATA_DIR: dir, ...env };
  return promptd(["migrate-from", ...line.split(" ")], { env: all, ...rest });
}

async function changes() {
  return (await registry.listChanges(CALLER, {}, { size: 200 })).items;
}

describe("migrate-from promptd", () => {
  let service: TestService;
  let env: Record<string, string>;

  beforeEach(async () => {
    service = await startService();
    env = { PROMPTD_ADDRESS: service.runtime.grpcAddress };
  });

  afterEach(() => service.close());

  const create = (name: string, value: string, more: { labels?: string[]; tags?: string[] } = {}) =>
    service.prompts.createVersion({ name, template: { case: "text", value }, ...more });

  /** Prompts with all that is asked of both sides alike. */
  async function standing(of: Registry) {
    const { items } = await of.listPrompts(CALLER, {}, { size: 100 });
    return Promise.all(
      items.map(async ({ name, labels, tags, latestVersion }) => ({
        ...{ name, labels, tags, latestVersion },
        versions: (await of.listVersions(CALLER, name, {}, { size: 100 })).items,
      })),
    );
  }

  it("copies everything, authors too, and tells how far it is", async () => {
    // Made before what it includes.
    await create("z", "Z", { labels: ["production"] });
    await create("a", "@@@langfusePrompt:name=z|label=production@@@", { labels: ["production"] });
    for (const value of ["1", "2", "3", "4"]) {
      await create("support/bot", value, { labels: ["staging"], tags: ["x", "b"] });
    }
    for (let at = 0; at < 60; at++) await create("many", `m${at}`, { labels: [`l${at}`] });
    await service.prompts.deleteVersions({ name: "support/bot", versions: [2], reason: "" });
    const ended = await migrateFrom("promptd", { env, watched: true });
    expect(ended.out).toBe(
      `promptd http://${service.runtime.grpcAddress} to project default

prompts 4, versions 65, copied 65, here before 0, left 0
`,
    );
    expect(ended.code).toBe(0);
    expect(ended.err).toContain("\r65 of 65 versions copied");
    expect(ended.err).toContain("\r4 of 4 prompts compared");
    const there = await openDatabase(`sqlite:${join(service.dataDir, "promptd.db")}`);
    expect(await standing(registry)).toEqual(await standing(new Registry(there)));
    await there.close();
    expect(await promptd(["changes", "verify", "--data-dir", dir])).toMatchObject({ code: 0 });
    // Bounded lots: three of `many`, one of each other one.
    expect(await changes()).toHaveLength(6);
    expect(await migrateFrom("promptd", { env })).toMatchObject({ code: 0 });
    expect(await changes()).toHaveLength(6);
  });

  it("brings what has come since, until somebody changes the prompt here", async () => {
    await create("a", "1", { labels: ["production"], tags: ["x"] });
    await migrateFrom("promptd", { env });
    await create("a", "2", { labels: ["production"], tags: ["y"] });
    expect(await migrateFrom("promptd", { env })).toMatchObject({ code: 0 });
    expect(await registry.load(CALLER, "a", { label: "production" })).toMatchObject({
      version: 2,
      tags: ["y"],
    });
    const moves = [{ label: "production", version: 1 }];
    await registry.setLabels(CALLER, { name: "a", moves, reason: "" });
    const ended = await migrateFrom("promptd", { env });
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.out).toContain("its labels: none there, production here, where they were moved");
    expect(await registry.find(CALLER, "a", { label: "production" })).toMatchObject({ version: 1 });
  });

  it("copies nothing in a dry run, and only what is named", async () => {
    await create("a/b", "1");
    await create("a/c", "1", { labels: ["production"] });
    await create("d", "1");
    const dry = await migrateFrom("promptd --names a/*,nobody --dry-run --json", { env });
    expect(JSON.parse(dry.out)).toEqual({
      source: `promptd http://${service.runtime.grpcAddress}`,
      project: "default",
      dryRun: true,
      prompts: 2,
      versions: { there: 2, copied: 2, here: 0 },
      left: [],
    });
    expect(await changes()).toEqual([]);
    expect((await registry.listPrompts(CALLER, {}, { size: 10 })).items).toEqual([]);
    expect(await migrateFrom("promptd --names a/*", { env })).toMatchObject({ code: 0 });
    expect(await migrateFrom("promptd --names nobody", { env })).toMatchObject({ code: 3 });
    const { items } = await registry.listPrompts(CALLER, {}, { size: 10 });
    expect(items.map(({ name }) => name)).toEqual(["a/b", "a/c"]);
  });

  it("reports another content under the same number, and overwrites nothing", async () => {
    await create("a", "there", { labels: ["production"] });
    await create("b", "1");
    const body = {
      type: "text" as const,
      format: "mustache" as const,
      template: "here",
      config: {},
    };
    await registry.createVersion(CALLER, { name: "a", body, labels: [], commitMessage: "" });
    for (const line of ["promptd --dry-run", "promptd"]) {
      const ended = await migrateFrom(`${line} --json`, { env });
      expect(ended.code).toBe(1);
      expect(ended.err).toMatch(/^promptd: 1 things (would not|could not) be carried over\n$/);
      expect(JSON.parse(ended.out)).toMatchObject({
        versions: { there: 2, copied: 1, here: 1 },
        left: [{ name: "a", version: 1, why: expect.stringContaining("another content") }],
      });
    }
    const { body: kept } = await registry.load(CALLER, "a", { version: 1 });
    expect(kept).toEqual(body);
  });

  it("goes into the registry of a running service, which tells of it at once", async () => {
    await create("a", "1", { labels: ["production"] });
    const target = await startService();
    try {
      await expect(target.prompts.getPrompt({ name: "a" })).rejects.toThrow();
      const into = { ...env, PROMPTD_DATA_DIR: target.dataDir };
      expect(await migrateFrom("promptd", { env: into })).toMatchObject({ code: 0 });
      const found = () => target.prompts.getPrompt({ name: "a" }).catch(() => undefined);
      const answer = await until(found, (each) => each !== undefined);
      expect(answer?.prompt).toMatchObject({ version: 1, labels: ["latest", "production"] });
    } finally {
      await target.close();
    }
  });

  it("goes into another project, which must be there", async () => {
    await create("a", "1");
    expect(await migrateFrom("promptd --project nobody", { env })).toMatchObject({ code: 3 });
    await promptd(["projects", "create", "team", "--data-dir", dir]);
    expect(await migrateFrom("promptd --project team", { env })).toMatchObject({ code: 0 });
    expect(await registry.find({ ...CALLER, project: "team" }, "a", { version: 1 })).toBeDefined();
    expect(await migrateFrom("nowhere", { env })).toMatchObject({ code: 2 });
  });
});

describe("migrate-from langfuse", () => {
  let upstream: LangfuseService;
  let env: Record<string, string>;

  beforeEach(async () => {
    upstream = await startWithKeys();
    env = {
      LANGFUSE_BASE_URL: upstream.baseUrl,
      LANGFUSE_PUBLIC_KEY: upstream.admin.publicKey,
      LANGFUSE_SECRET_KEY: upstream.admin.secretKey,
    };
  });

  afterEach(() => upstream.close());

  it("keeps what is there to the millisecond", async () => {
    const version = { name: "ü/x", prompt: "Hi {{x}}", labels: ["production"], tags: ["t"] };
    const body = { ...version, config: { n: [1, null] }, commitMessage: "why" };
    const made = await upstream.call("/v2/prompts", json("POST", body));
    const { createdAt } = (await made.json()) as { createdAt: string };
    expect(await migrateFrom("langfuse", { env })).toMatchObject({ code: 0, err: "" });
    expect(await registry.load(CALLER, "ü/x", { label: "production" })).toMatchObject({
      createdAt: new Date(createdAt),
      commitMessage: "why",
      author: "API",
      body: { config: { n: [1, null] } },
      tags: ["t"],
    });
  });

  it("says what is missing, and who is not let in", async () => {
    expect(await migrateFrom("langfuse")).toMatchObject({ code: 2 });
    const wrong = { ...env, LANGFUSE_SECRET_KEY: "wrong" };
    const ended = await migrateFrom("langfuse", { env: wrong });
    expect(ended.code).not.toBe(0);
    expect(ended.out).toBe("");
  });
});

describe("migrate-from langsmith", () => {
  let standIn: StandIn;
  let others: Client;
  let env: Record<string, string>;

  beforeEach(async () => {
    standIn = await startStandIn();
    const apiKey = standIn.newWorkspace();
    others = new Client({ apiUrl: standIn.url, apiKey, disablePromptCache: true });
    env = { LANGSMITH_ENDPOINT: standIn.url, LANGSMITH_API_KEY: apiKey };
  });

  afterEach(() => standIn.close());

  const push = (name: string, object: unknown, commitTags: string[] = []) =>
    others.pushPrompt(name, { object, commitTags });

  it("copies what promptd can hold, and reports the rest", async () => {
    await push("greet", manifestOf(text("Hi {name}")), ["production", "Not Allowed"]);
    await push("greet", { lc: 1, type: "constructor", id: ["langchain", "Other"], kwargs: {} }, [
      "odd",
    ]);
    await push("greet", manifestOf(text("Hello {name}")));
    const ended = await migrateFrom("langsmith", { env });
    expect(ended.code).toBe(1);
    expect(ended.out).toMatch(
      /\ngreet +2 +version +prompt "greet" v2 of LangSmith is none of promptd's/,
    );
    expect(ended.out).toMatch(
      /\ngreet +label +label odd is on a version that was not carried over\n/,
    );
    expect(ended.out).toMatch(/\ngreet +1 +label +label Not Allowed: expected a label of 1 to 36/);
    expect(ended.out).toMatch(/\nprompts 1, versions 3, copied 2, here before 0, left 3\n$/);
    const { items } = await registry.listVersions(CALLER, "greet", {}, { size: 10 });
    expect(items).toMatchObject([
      { version: 3, labels: ["latest"], author: "Ada Lovelace" },
      { version: 1, labels: ["production"] },
    ]);
  });

  it("waits when it is asked to, and goes on", async () => {
    for (const value of ["1", "2"]) await push("greet", manifestOf(text(value)));
    let asked = 0;
    standIn.before = (_, response) => {
      asked += 1;
      if (asked === 4) reply(response, 429, {}, { "retry-after": "1" });
    };
    expect(await migrateFrom("langsmith", { env })).toMatchObject({ code: 0 });
    expect(await registry.find(CALLER, "greet", { label: "latest" })).toMatchObject({ version: 2 });
  });

  it("stops where nothing can be reached any more, and is done when it is run again", async () => {
    const names = Array.from({ length: 9 }, (_, at) => `p${at}`);
    for (const name of names) await push(name, manifestOf(text("1")));
    standIn.before = ({ path }, response) => {
      if (/^\/repos\/-\/p[1-9]$/.test(path)) reply(response, 503, {});
    };
    const ended = await migrateFrom("langsmith", { env });
    expect(ended).toMatchObject({ code: 5 });
    expect(ended.err).toMatch(/; the rest was not tried: run it again, what was done stays\n$/);
    standIn.before = () => {};
    const again = await migrateFrom("langsmith --json", { env });
    expect(again).toMatchObject({ code: 0 });
    expect(JSON.parse(again.out)).toMatchObject({ versions: { there: 9 }, left: [] });
  });
});
