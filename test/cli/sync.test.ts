import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startWithKeys } from "../langfuse/service.ts";
import { startService, type TestService } from "../support/service.ts";
import { against, promptd, type Surroundings } from "./promptd.ts";
import { watchingAt } from "./watching.ts";

let service: TestService;
let cli: ReturnType<typeof against>;
let dir: string;

beforeEach(async () => {
  service = await startService();
  cli = against(service.runtime.grpcAddress);
  dir = await mkdtemp(join(tmpdir(), "promptd-sync-"));
});

afterEach(async () => {
  await service.close();
  await rm(dir, { recursive: true });
});

function sync(line: string, surroundings?: Surroundings) {
  return cli(["sync", ...line.split(" "), "--dir", dir], surroundings);
}

async function put(path: string, content: string): Promise<void> {
  await mkdir(dirname(join(dir, path)), { recursive: true });
  await writeFile(join(dir, path), content);
}

function read(path: string): Promise<string> {
  return readFile(join(dir, path), "utf8");
}

async function create(name: string, text: string): Promise<void> {
  await service.prompts.createVersion({ name, template: { case: "text", value: text } });
}

/** Both sides hold these, and know that they do. */
async function synced(texts: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(texts)) await create(name, text);
  await sync("init");
  expect(await sync("pull")).toMatchObject({ code: 0 });
}

describe("sync status", () => {
  it("tells how the sides stand, to people, programs and CI", async () => {
    expect(await sync("status")).toMatchObject({
      code: 1,
      err: "promptd: this folder is not synced yet: run promptd sync init\n",
    });
    await put("support/triage_bot.md", "one\n");
    await put("notes.yaml", "");
    await create("there", "two\n");
    expect(await sync("init")).toMatchObject({ code: 0, err: "" });
    const differing = await sync("status");
    expect(differing).toMatchObject({ code: 8, err: "promptd: 2 of 2 prompts differ\n" });
    expect(differing.out).toBe(
      `promptd http://${service.runtime.grpcAddress}, label latest

STATE      PROMPT              FILE                   VERSION
new here   support/triage-bot  support/triage_bot.md
new there  there                                      1
ignored                        notes.yaml                      its name does not end in .md, .txt, .prompt, .json

new here 1, new there 1, ignored 1
`,
    );
    await sync("pull");
    await sync("push");
    expect(await sync("status")).toMatchObject({ code: 0, err: "" });
    await put("there.md", "two here\n");
    await create("there", "two there\n");
    const conflict = await sync("status --json");
    expect(conflict).toMatchObject({
      code: 4,
      err: "promptd: 1 of 2 prompts are in conflict\n",
    });
    expect(JSON.parse(conflict.out)).toMatchObject({
      clean: false,
      counts: { conflict: 1, synced: 1 },
      prompts: [{ name: "support/triage-bot" }, { name: "there", remoteVersion: 2 }],
    });
    await put("there.prompt", "---\nconfig: [\n---\n");
    expect(await sync("status there")).toMatchObject({ code: 1 });
  });
});

describe("sync pull and push", () => {
  it("take what was asked for, and tell what would be done", async () => {
    await synced({ a: "1", "b/c": "1", "b/d": "1" });
    for (const name of ["a", "b/c", "b/d"]) await create(name, "2");
    const dry = await sync("pull b/* --dry-run");
    expect(dry.code).toBe(0);
    expect(dry.out).toBe(`WOULD   PROMPT  FILE
update  b/c     b/c.md
update  b/d     b/d.md

pulled 0, updated 2, pushed 0, removed 0, withdrawn 0, conflicts 0, errors 0, kept 0
`);
    expect(await read("b/c.md")).toBe("1");
    expect(await sync("pull --names a,b/c")).toMatchObject({ code: 0 });
    expect([await read("a.md"), await read("b/c.md"), await read("b/d.md")]).toEqual([
      "2",
      "2",
      "1",
    ]);
    expect(await sync("pull nobody")).toMatchObject({ code: 3 });
    await put("a.md", "3");
    const pushed = await sync("push a --labels production,staging");
    expect(pushed.out).toMatch(/^OUTCOME +PROMPT +FILE\npushed +a +a\.md +version 3\n\npulled 0/);
    expect((await cli("get a --label staging")).out).toBe("3");
  });

  it("end with a conflict until it is decided, and show a person how far they are", async () => {
    await synced({ a: "1\n", b: "1\n" });
    await put("a.md", "1 here\n");
    await create("a", "1 there\n");
    const pull = await sync("pull", { watched: true });
    expect(pull.code).toBe(4);
    expect(pull.out).toContain("refused  a       a.md  both sides were changed");
    expect(pull.err).toMatch(/^\r1 of 2 compared\r2 of 2 compared\r/);
    expect(pull.err).toMatch(/\rpromptd: 1 of 2 prompts need somebody to decide\n$/);
    const merged = await sync("resolve a --strategy merge");
    expect(merged.out).toContain("merged   a       a.md");
    expect(await read("a.md")).toBe("<<<<<<< local\n1 here\n=======\n1 there\n>>>>>>> remote\n");
    expect((await sync("push")).code).not.toBe(0);
    expect((await cli("get a --label latest")).out).toBe("1 there\n");
    await put("a.md", "1 both\n");
    expect(await sync("push")).toMatchObject({ code: 0 });
    expect((await cli("get a --label latest")).out).toBe("1 both\n");
  });

  it("heed the project file: remote is right, but for what was marked", async () => {
    await put("promptd.yaml", "sync:\n  authority: remote\n");
    await synced({ a: "1", b: "1" });
    await put("a.md", "2");
    await put("b.md", "2");
    expect((await sync("mark-edited a")).out).toBe("a is marked as edited\n");
    expect(await sync("pull --auto-push")).toMatchObject({ code: 0 });
    expect(await read("b.md")).toBe("1");
    expect((await cli("get a --label latest")).out).toBe("2");
    expect(await sync("mark-edited a --undo --json")).toMatchObject({
      out: '{\n  "name": "a",\n  "edited": false\n}\n',
    });
  });
});

describe("sync diff", () => {
  it("shows what has become of both sides", async () => {
    await synced({ "a-b": "one\n" });
    await put("a_b.md", "one\ntwo\n");
    await create("a-b", "zero\none\n");
    expect((await sync("diff")).out).toBe(`a-b (conflict)
there: version 2, labels latest
--- a-b (base)
+++ a-b (local)
@@ -2,3 +2,4 @@
 type: text
 ---
 one
+two
--- a-b (base)
+++ a-b (remote)
@@ -1,4 +1,5 @@
 ---
 type: text
 ---
+zero
 one
`);
    const { prompts } = JSON.parse((await sync("diff a-b --json")).out);
    expect(prompts).toMatchObject([{ name: "a-b", remote: { version: 2 } }]);
  });
});

describe("sync log, rollback and restore", () => {
  it("show and bring back what was", async () => {
    await synced({ "a-b": "1" });
    await create("a-b", "2");
    await sync("pull");
    const { out } = await sync("log a-b");
    expect(out).toMatch(/^prompt a-b\nfile a_b\.md\npulled .*Z\nboth sides held version 2 last/);
    expect(out).toMatch(/\n2 = +\S+Z +latest +anonymous\n1 +\S+Z +anonymous\n\nBACKUP/);
    expect(out).toMatch(/\n\S+ +\S+Z +a-b +here +a_b\.md +replaced/);

    expect((await sync("rollback a-b --to 1")).out).toBe(
      "a_b.md holds version 1 of a-b; promptd sync push makes it the newest\n",
    );
    expect(await read("a_b.md")).toBe("1");
    const backups = JSON.parse((await sync("restore a-b --list --json")).out).backups;
    expect(backups).toHaveLength(2);
    expect((await sync("restore a-b")).out).toMatch(/^a_b\.md is as it was at /);
    expect(await read("a_b.md")).toBe("2");
    await sync(`restore --at ${backups[1].id}`);
    expect(await read("a_b.md")).toBe("1");
    expect(await sync("restore")).toMatchObject({ code: 2 });
    expect(await sync("restore nobody")).toMatchObject({ code: 3 });
  });
});

describe("sync import-metadata", () => {
  it("goes on from another sync", async () => {
    await create("a", "1");
    await put("a.txt", "2");
    const checksum = createHash("sha256").update("1").digest("hex");
    const noted = { local_file: "a.txt", langfuse_version: 1, last_synced_checksum: checksum };
    const unproved = { ...noted, local_file: "b.txt", langfuse_name: "b" };
    const prompts = { a: noted, other: unproved };
    await put(".prompt_metadata.json", JSON.stringify({ prompts }));
    const { out } = await sync(`import-metadata ${dir}`);
    expect(out).toMatch(/\nunproved +b +version 1 does not have the noted checksum\n/);
    expect(out).toMatch(/\ntaken 1, unproved 1, passed over 0\n$/);
    expect((await sync("status a")).out).toContain("modified locally  a       a.txt");
    expect(await sync(`import-metadata ${dir} --json`)).toMatchObject({ code: 1 });
    const again = await sync(`import-metadata ${dir} --force --json`);
    expect(JSON.parse(again.out)).toMatchObject({ taken: ["a"] });
  });
});

describe("sync watch", () => {
  it("pulls what changes, as soon as promptd tells", async () => {
    await synced({ a: "1" });
    const args = ["sync", "watch", "--dir", dir, "--json", "--interval", "100m"];
    const watched = watchingAt(service.runtime.grpcAddress, args);
    expect(JSON.parse(await watched.line(0))).toMatchObject({ ok: true });
    await create("a", "2");
    for (let line = 1; (await read("a.md")) !== "2"; line++) await watched.line(line);
    watched.close();
    await create("a", "3");
    expect(await watched.ended()).toEqual({ code: 0, err: "" });
  });

  it("ends at once where it cannot begin", async () => {
    const args = ["sync", "watch", "--dir", dir];
    expect(await watchingAt(service.runtime.grpcAddress, args).ended()).toMatchObject({ code: 1 });
  });
});

describe("sync with a Langfuse", () => {
  it("goes both ways", async () => {
    const upstream = await startWithKeys();
    try {
      const env = {
        LANGFUSE_BASE_URL: upstream.baseUrl,
        LANGFUSE_PUBLIC_KEY: upstream.admin.publicKey,
        LANGFUSE_SECRET_KEY: upstream.admin.secretKey,
      };
      await put("promptd.yaml", "sync:\n  remote: langfuse\n");
      await put("a.md", "1");
      const langfuse = (line: string) =>
        promptd(["sync", ...line.split(" "), "--dir", dir], { env });
      expect((await langfuse("init")).out).toContain(`langfuse ${upstream.baseUrl}, label latest`);
      expect(await langfuse("push")).toMatchObject({ code: 0 });
      const body = JSON.stringify({ name: "a", prompt: "2", labels: [] });
      const headers = { "content-type": "application/json" };
      await upstream.call("/v2/prompts", { method: "POST", headers, body });
      expect(await langfuse("pull")).toMatchObject({ code: 0 });
      expect(await read("a.md")).toBe("2");
      expect(await langfuse("status")).toMatchObject({ code: 0 });
      expect((await sync("status --remote promptd")).err).toContain("this folder is synced with");
    } finally {
      await upstream.close();
    }
  });

  it("takes no empty names for all", async () => {
    await synced({ p: "one\n" });
    const emptied = cli(["sync", "push", "--force", "--names", "", "--dir", dir]);
    expect(await emptied).toMatchObject({ code: 2, err: expect.stringContaining("--names") });
  });

  it("says what is missing", async () => {
    expect(await sync("init --remote langfuse")).toMatchObject({
      code: 2,
      err: "promptd: LANGFUSE_BASE_URL: expected the URL of the Langfuse that is meant\n",
    });
    expect(await sync("init --remote langsmith")).toMatchObject({
      code: 2,
      err: "promptd: LANGSMITH_API_KEY: expected a key of the LangSmith that is meant\n",
    });
  });
});
