import { Client } from "langsmith";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { PromptBody } from "../../src/core/prompt.ts";
import { NO_JOURNAL } from "../../src/core/source-journal.ts";
import { LangsmithApi } from "../../src/sources/langsmith/api.ts";
import { manifestOf } from "../../src/sources/langsmith/manifest.ts";
import { LangsmithSource } from "../../src/sources/langsmith/source.ts";

import { type StandIn, startStandIn } from "./stand-in.ts";

/** LangSmith's own package and promptd's source, on the same workspace. */
let standIn: StandIn;
let client: Client;
let source: LangsmithSource;

const caller = { project: "default", actor: "tester" };

beforeAll(async () => {
  standIn = await startStandIn();
});

afterAll(() => standIn.close());

beforeEach(() => {
  const apiKey = standIn.newWorkspace();
  client = new Client({ apiUrl: standIn.url, apiKey, disablePromptCache: true });
  const api = new LangsmithApi({ endpoint: standIn.url, apiKey });
  source = new LangsmithSource(api, NO_JOURNAL);
});

const text = (template: string): PromptBody => ({
  type: "text",
  format: "fstring",
  template,
  config: {},
});

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe("LangSmith's own package", () => {
  it("pushes what promptd reads", async () => {
    const one = { object: manifestOf(text("Hi {name}")), tags: ["greeting"] };
    const url = await client.pushPrompt("greet", { ...one, commitTags: ["production"] });
    await client.pushPrompt("greet", { object: manifestOf(text("Hello {name}")) });
    const { commit_hash } = await client.pullPromptCommit("greet:production");
    expect(url).toContain(commit_hash.slice(0, 8));
    expect(await source.load(caller, "greet", { label: "production" })).toMatchObject({
      name: "greet",
      version: 1,
      sourceVersion: commit_hash,
      body: text("Hi {name}"),
      labels: ["production"],
      tags: ["greeting"],
      author: "Ada Lovelace",
    });
    expect(await source.load(caller, "greet", { label: "latest" })).toMatchObject({
      version: 2,
      body: text("Hello {name}"),
      labels: ["latest"],
    });
  });

  it("pulls what promptd created", async () => {
    const version = { name: "made", body: text("x {y}"), labels: ["qa"], tags: ["t"] };
    await source.createVersion(caller, { ...version, commitMessage: "why" });
    const pulled = await client.pullPromptCommit("made:qa");
    expect(pulled.manifest).toEqual(manifestOf(version.body));
    expect(await client.getPrompt("made")).toMatchObject({ is_public: false, tags: ["t"] });
    const [commit] = await all(client.listCommits("made"));
    expect(commit).toMatchObject({ commit_hash: pulled.commit_hash, description: "why" });
    expect((await source.find(caller, "made", { label: "qa" })).version).toBe(1);
  });

  it("reads more pages than one", async () => {
    for (let n = 1; n <= 101; n++) {
      await client.createPrompt(`p-${n}`);
      await client.createCommit(`p-${n}`, manifestOf(text(String(n))));
    }
    for (let n = 2; n <= 101; n++) await client.createCommit("p-1", manifestOf(text(String(n))));
    expect(await all(client.listPrompts({ isPublic: false }))).toHaveLength(101);
    expect(await all(client.listCommits("p-1"))).toHaveLength(101);
    const { total } = await source.catalog(caller, {}, { size: 1, skip: 0 });
    expect(total).toBe(101);
    const first = await source.load(caller, "p-1", { version: 1 });
    expect(first.body).toEqual(text("1"));
    const { items } = await source.listVersions(caller, "p-1", {}, { size: 2 });
    expect(items.map(({ version }) => version)).toEqual([101, 100]);
    // One that is made between two pages shifts those that follow.
    standIn.before = async ({ path }) => {
      if (!path.includes("offset=100")) return;
      standIn.before = () => {};
      await client.createCommit("p-1", manifestOf(text("102")));
    };
    expect((await source.load(caller, "p-1", { version: 1 })).body).toEqual(text("1"));
    expect((await source.load(caller, "p-1", { version: 101 })).body).toEqual(text("101"));
    expect((await source.load(caller, "p-1", { version: 102 })).body).toEqual(text("102"));
  });

  it("is told of a parent that is not the newest", async () => {
    await client.pushPrompt("raced", { object: manifestOf(text("1")) });
    const { commit_hash: parentCommitHash } = await client.pullPromptCommit("raced");
    await client.createCommit("raced", manifestOf(text("2")), { parentCommitHash });
    const late = client.createCommit("raced", manifestOf(text("3")), { parentCommitHash });
    await expect(late).rejects.toThrow("409");
  });
});
