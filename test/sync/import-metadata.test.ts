import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { loadProject } from "../../src/files/project.ts";
import { type OpenRemote, openPromptd } from "../../src/library/remotes.ts";
import { importMetadata } from "../../src/sync/import-metadata.ts";
import { Sync } from "../../src/sync/sync.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let remote: OpenRemote;
let folder: string;

beforeAll(async () => {
  service = await startService();
  const address = service.runtime.grpcAddress;
  remote = await openPromptd({ address, timeoutMs: 5000, tls: {} });
});

afterAll(async () => {
  remote.close();
  await service.close();
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "promptd-metadata-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
  const { prompts } = await service.prompts.listPrompts({});
  for (const { name } of prompts) await service.prompts.deleteVersions({ name, all: true });
});

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

async function create(name: string, text: string, labels: string[] = []): Promise<void> {
  await service.prompts.createVersion({ name, template: { case: "text", value: text }, labels });
}

async function put(path: string, content: unknown): Promise<void> {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

function take(path: string, options: { label?: string; force?: boolean } = {}) {
  return importMetadata({ folder, remote, from: join(folder, path), ...options });
}

async function states(): Promise<Record<string, string>> {
  const { naming } = await loadProject(folder);
  const { prompts } = await new Sync({ folder, naming, remote }).status();
  return Object.fromEntries(prompts.map(({ name, state }) => [name, state]));
}

/** As another program notes a prompt in its one file. */
function noted(name: string, file: string, synced: string, version: number, more = {}) {
  return {
    [name]: {
      local_file: file,
      langfuse_name: name,
      local_checksum: sha256("anything"),
      langfuse_version: version,
      langfuse_label: "production",
      last_synced: "2026-05-01T10:00:00.123456",
      last_pulled: "2026-05-01T10:00:00Z",
      last_pushed: null,
      sync_status: "synced",
      last_synced_checksum: sha256(synced),
      ...more,
    },
  };
}

describe("one file for all prompts", () => {
  it("gives each prompt the base that its checksum proves", async () => {
    for (const name of ["same", "here-edited", "there-edited", "both-edited"]) {
      await create(name, "one", ["production"]);
    }
    for (const name of ["there-edited", "both-edited"]) {
      await create(name, "two", ["production"]);
    }
    await put("same.txt", "one");
    await put("here_edited.txt", "here");
    await put("there_edited.txt", "one");
    await put("both_edited.txt", "here");
    await put(".prompt_metadata.json", {
      prompts: {
        ...noted("same", "same.txt", "one", 1),
        ...noted("here-edited", "here_edited.txt", "one", 1),
        ...noted("there-edited", "there_edited.txt", "one", 1),
        ...noted("both-edited", "both_edited.txt", "one", 1),
      },
      last_updated: "2026-05-01",
    });
    expect(await take("")).toEqual({
      taken: ["same", "here-edited", "there-edited", "both-edited"],
      unproved: [],
      passedOver: [],
    });
    expect(await states()).toEqual({
      same: "synced",
      "here-edited": "modified_locally",
      "there-edited": "modified_remotely",
      "both-edited": "conflict",
    });
    const { label, prompts } = JSON.parse(
      await readFile(join(folder, ".promptd/sync.json"), "utf8"),
    );
    expect(label).toBe("production");
    expect(prompts.same).toMatchObject({
      file: "same.txt",
      remote_version: 1,
      local_checksum: sha256("one"),
      pulled_at: "2026-05-01T10:00:00.000Z",
      direction: "pull",
    });
  });

  it("believes nothing that is not proved", async () => {
    await create("a", "one", ["production"]);
    await create("b", "one", ["production"]);
    await create("c", "one", ["production"]);
    for (const name of ["a", "b", "c"]) await put(`${name}.txt`, "here");
    await put(".prompt_metadata.json", {
      prompts: {
        ...noted("a", "a.txt", "another text", 1),
        ...noted("b", "b.txt", "one", 7),
        ...noted("c", "c.txt", "one", 1, { last_synced_checksum: "md5:12" }),
        ...noted("d", "../outside.txt", "one", 1),
        ...noted("e", "e.yaml", "one", 1),
      },
    });
    const { taken, unproved, passedOver } = await take(".prompt_metadata.json");
    expect(taken).toEqual([]);
    expect(unproved).toEqual([
      { name: "a", why: "version 1 does not have the noted checksum" },
      { name: "b", why: "version 7 does not have the noted checksum" },
      { name: "c", why: "no SHA-256 of what was synced last is noted" },
    ]);
    expect(passedOver.map(({ name }) => name)).toEqual(["d", "e"]);
    expect(await states()).toEqual({ a: "conflict", b: "conflict", c: "conflict" });
  });

  it("goes on where the other side takes no such name", async () => {
    await create("fine", "one", ["production"]);
    await put("fine.txt", "one");
    await put("odd.txt", "one");
    await put(".prompt_metadata.json", {
      prompts: {
        ...noted("odd//name", "odd.txt", "one", 1),
        ...noted("fine", "fine.txt", "one", 1),
      },
    });
    expect(await take("")).toMatchObject({
      taken: ["fine"],
      unproved: [{ name: "odd//name", why: expect.stringContaining("//") }],
    });
  });

  it("is read once, and follows one label", async () => {
    const prompts = {
      ...noted("a", "a.txt", "one", 1),
      ...noted("b", "b.txt", "one", 1, { langfuse_label: "staging" }),
    };
    await put(".prompt_metadata.json", { prompts });
    await expect(take("")).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("production, staging: say by --label"),
    });
    await take("", { label: "staging" });
    await expect(take("", { label: "staging" })).rejects.toMatchObject({ code: "refused" });
    await take("", { label: "staging", force: true });
  });

  it.each([
    ["what is not there", "nowhere.json", undefined, "cannot be read"],
    ["what is not JSON", "broken.json", "{", "is not JSON"],
    ["another JSON", "other.json", { prompts: [] }, "prompts: "],
    ["a folder without metadata", "empty", undefined, "cannot be read"],
  ])("refuses %s", async (_, path, content, why) => {
    if (content !== undefined) await put(path, content);
    await expect(take(path)).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining(why),
    });
  });
});

describe("a file for each prompt", () => {
  const ofHub = (name: string, hub: string, more = {}) => ({
    prompt_name: name,
    last_fetched_from_hub: "2026-05-01T10:00:00Z",
    locally_modified: false,
    local_edit_timestamp: null,
    hub_content_hash: sha256(hub),
    local_content_hash: sha256(hub),
    last_sync_timestamp: "2026-05-01T12:00:00+02:00",
    sync_direction: "push",
    ...more,
  });

  it("finds the version by its text, and keeps the marks of edits", async () => {
    await create("a", "one");
    await create("a", "two");
    await create("owner/b", "one");
    await put("langsmith_cache/a.txt", "one");
    await put("langsmith_cache/owner_b.txt", "here");
    await put("langsmith_cache/metadata/a.json", ofHub("a", "one"));
    const edited = { locally_modified: true };
    await put("langsmith_cache/metadata/owner_b.json", ofHub("owner/b", "one", edited));
    await put("langsmith_cache/metadata/gone.json", ofHub("gone", "one"));
    expect(await take("langsmith_cache")).toEqual({
      taken: ["a", "owner/b"],
      unproved: [{ name: "gone", why: "none of the newest 0 versions has the noted checksum" }],
      passedOver: [],
    });
    expect(await states()).toMatchObject({ a: "modified_remotely", "owner/b": "modified_locally" });
    const { prompts } = JSON.parse(await readFile(join(folder, ".promptd/sync.json"), "utf8"));
    expect(prompts["owner/b"]).toMatchObject({
      file: "langsmith_cache/owner_b.txt",
      edited: true,
      direction: "push",
      pushed_at: "2026-05-01T10:00:00.000Z",
    });
  });
});
