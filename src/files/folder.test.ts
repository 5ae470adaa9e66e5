import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { canonicalBody, contentHash } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import type { NewVersion } from "../core/ports.ts";
import { exportPrompts } from "./export.ts";
import { type ImportTarget, importFolder } from "./import.ts";
import type { StoredPrompt } from "./prompt-file.ts";
import { MAX_FILE_BYTES, scanFolder } from "./scan.ts";

let dir: string;
let outside: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-files-"));
  outside = await mkdtemp(join(tmpdir(), "promptd-outside-"));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
  await rm(outside, { recursive: true });
});

async function put(files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }
}

/** A registry that remembers what it was asked to create. */
class Registry implements ImportTarget {
  readonly versions = new Map<string, NewVersion[]>();
  readonly created: string[] = [];
  refuse: (version: NewVersion) => PromptdError | undefined = () => undefined;

  async newest(name: string) {
    const versions = this.versions.get(name);
    const newest = versions?.at(-1);
    if (versions === undefined || newest === undefined) return undefined;
    return { version: versions.length, contentHash: contentHash(canonicalBody(newest.body)) };
  }

  async create(version: NewVersion) {
    await new Promise(setImmediate);
    const versions = this.versions.get(version.name) ?? [];
    const error = this.refuse(version);
    if (error) throw error;
    if (version.expectedLatestVersion !== versions.length) {
      throw new PromptdError("conflict", "somebody was faster");
    }
    this.versions.set(version.name, [...versions, version]);
    this.created.push(version.name);
    return { version: versions.length + 1 };
  }

  newestOf(name: string): NewVersion | undefined {
    return this.versions.get(name)?.at(-1);
  }
}

describe("scanFolder", () => {
  it("finds prompt files in order and says why others are passed over", async () => {
    await put({
      "b.md": "",
      "a/z.txt": "",
      "a/z.md": "",
      "a.prompt": "",
      "a/notes.yaml": "",
      "b.j2": "",
      ".git/c.md": "",
      ".hidden.md": "",
      "big.md": new Uint8Array(MAX_FILE_BYTES + 1),
      "full.md": new Uint8Array(MAX_FILE_BYTES),
    });
    await writeFile(join(outside, "secret.md"), "secret");
    await symlink(join(outside, "secret.md"), join(dir, "leak.md"));
    await symlink(outside, join(dir, "out"));
    await symlink(".", join(dir, "loop"));
    await symlink(".hidden.md", join(dir, "linked.md"));
    await symlink("nowhere", join(dir, "broken.md"));

    const { files, refused, ignored } = await scanFolder(dir);
    expect(files.map(({ path, name }) => [path, name])).toEqual([
      ["a.prompt", "a"],
      ["a/z.md", "a/z"],
      ["b.md", "b"],
      ["full.md", "full"],
      ["linked.md", "linked"],
    ]);
    expect(refused).toEqual([
      { path: "a/z.txt", why: "a/z.md is a file of the same prompt; keep one of them" },
      { path: "b.j2", why: expect.stringContaining("are for the fallback folder") },
      { path: "big.md", why: "has 2097153 bytes, expected at most 2097152" },
      { path: "broken.md", why: "cannot be read: it does not exist" },
    ]);
    expect(ignored).toEqual([
      { path: "a/notes.yaml", why: "its name does not end in .md, .txt, .prompt, .json" },
      { path: "leak.md", why: "a link that leads out of the folder" },
      { path: "loop", why: "a link to a folder" },
      { path: "out", why: "a link that leads out of the folder" },
    ]);
  });

  it("refuses what is no folder", async () => {
    await put({ "a.md": "" });
    await expect(scanFolder(join(dir, "nowhere"))).rejects.toThrow("it does not exist");
    await expect(scanFolder(join(dir, "a.md"))).rejects.toThrow("is not a folder");
  });
});

describe("importFolder", () => {
  it("creates what differs, and leaves the rest as it is", async () => {
    await put({ "a.md": "one", "b.prompt": "---\nlabels: [staging]\ntags: [x]\n---\ntwo" });
    const registry = new Registry();
    const progress: number[] = [];
    const onProgress = ({ done }: { done: number }) => progress.push(done);
    const first = await importFolder(dir, registry, { onProgress });
    expect(first.files).toEqual([
      { path: "a.md", name: "a", outcome: "created", version: 1 },
      { path: "b.prompt", name: "b", outcome: "created", version: 1 },
    ]);
    expect(progress).toEqual([1, 2]);
    expect(registry.newestOf("a")).toMatchObject({ labels: ["production"], commitMessage: "" });
    expect(registry.newestOf("a")).not.toHaveProperty("tags");
    expect(registry.newestOf("b")).toMatchObject({ labels: ["staging"], tags: ["x"] });

    await put({ "a.md": "one, changed" });
    const second = await importFolder(dir, registry, { labels: ["canary"] });
    expect(second.files.map((file) => file.outcome)).toEqual(["created", "unchanged"]);
    expect(registry.newestOf("a")).toMatchObject({ labels: ["canary"] });
    expect(registry.created).toHaveLength(3);
  });

  it("goes on behind files that are refused", async () => {
    await put({ "a.json": "{", "b.md": new Uint8Array([0xff]), "c.md": "no", "d.md": "yes" });
    const registry = new Registry();
    registry.refuse = ({ name }) =>
      name === "c" ? new PromptdError("refused", "not this one") : undefined;
    const { files } = await importFolder(dir, registry);
    expect(files.map((file) => [file.path, "why" in file ? file.why : file.outcome])).toEqual([
      ["a.json", expect.stringContaining("not JSON")],
      ["b.md", expect.stringContaining("byte 0 is not UTF-8")],
      ["c.md", "not this one"],
      ["d.md", "created"],
    ]);
  });

  it("stops where the registry is unavailable", async () => {
    const names = Array.from({ length: 40 }, (_, i) => `m${i}.md`);
    await put(Object.fromEntries(names.map((name) => [name, name])));
    const registry = new Registry();
    registry.refuse = () =>
      registry.created.length < 10
        ? undefined
        : new PromptdError("unavailable", "the database is down");
    const report = await importFolder(dir, registry);
    expect(report.stopped?.message).toBe("the database is down");
    expect(report.files.every(({ outcome }) => outcome === "created")).toBe(true);
    expect(report.files).toHaveLength(registry.created.length);
    expect(report.untried).toBe(40 - registry.created.length);
  });

  const isRoot = process.getuid?.() === 0;
  const whyNot = isRoot ? " (skipped: root reads every folder)" : "";
  it.skipIf(isRoot)(`refuses a folder in it that cannot be read${whyNot}`, async () => {
    await put({ "a.md": "one", "closed/b.md": "two" });
    await chmod(join(dir, "closed"), 0o000);
    const { files } = await importFolder(dir, new Registry());
    await chmod(join(dir, "closed"), 0o700);
    expect(files).toMatchObject([
      { path: "a.md", outcome: "created" },
      { path: "closed", outcome: "refused", why: "cannot be read: permission denied" },
    ]);
  });

  it("creates a prompt behind those that it includes, also through others", async () => {
    const include = (name: string) => `@@@langfusePrompt:name=${name}|label=production@@@`;
    const fillers = Array.from({ length: 20 }, (_, i) => [`m${i}.md`, ""]);
    await put({
      "a.md": `${include("b")}${include("z/c")}${include("elsewhere")}`,
      "b.md": include("z/c"),
      "circle.md": include("circle2"),
      "circle2.md": include("circle"),
      "z/c.md": "c",
      ...Object.fromEntries(fillers),
    });
    const registry = new Registry();
    const { files } = await importFolder(dir, registry);
    expect(files.every((file) => file.outcome === "created")).toBe(true);
    expect(files.map((file) => file.path)).toEqual(files.map((file) => file.path).sort());
    const order = registry.created.filter((name) => ["a", "b", "z/c"].includes(name));
    expect(order).toEqual(["z/c", "b", "a"]);
  });

  it("looks again when somebody else was faster", async () => {
    await put({ "a.md": "one" });
    const registry = new Registry();
    let raced = false;
    registry.refuse = (version) => {
      if (raced) return undefined;
      raced = true;
      registry.versions.set("a", [version]);
      return new PromptdError("conflict", "somebody was faster");
    };
    const { files } = await importFolder(dir, registry);
    expect(files).toEqual([{ path: "a.md", name: "a", outcome: "unchanged", version: 1 }]);
  });
});

describe("exportPrompts", () => {
  const prompt = (name: string, template: string, tags: string[] = []): StoredPrompt => ({
    name,
    body: { type: "text", format: "mustache", template, config: {} },
    labels: ["production"],
    tags,
  });

  async function* each(...prompts: StoredPrompt[]) {
    yield* prompts;
  }

  it("writes files that import as unchanged, and leaves what says the same", async () => {
    const prompts = [prompt("a", "one\r\n"), prompt("support/b", "two", ["x"])];
    const folder = join(dir, "new", "folder");
    expect(await exportPrompts(folder, each(...prompts))).toEqual([
      { name: "a", outcome: "written", path: "a.md" },
      { name: "support/b", outcome: "written", path: "support/b.prompt" },
    ]);
    expect(await readFile(join(folder, "a.md"), "utf8")).toBe("one\r\n");
    // Another ending, another spelling, but the same prompt.
    await rm(join(folder, "a.md"));
    await writeFile(join(folder, "a.json"), '{"template": "one\\r\\n"}');
    const again = await exportPrompts(folder, each(...prompts));
    expect(again.map((exported) => exported.outcome)).toEqual(["unchanged", "unchanged"]);
    expect((await readdir(folder)).sort()).toEqual(["a.json", "support"]);
  });

  it("replaces what says something else only by force", async () => {
    await put({ "a.md": "mine", "b.prompt": "---\n", "c.md": "same", "c.txt": "stray" });
    const prompts = [prompt("a", "one"), prompt("b", "two"), prompt("c", "same")];
    expect(await exportPrompts(dir, each(...prompts))).toEqual([
      { name: "a", outcome: "refused", why: "a.md says something else; --force replaces it" },
      { name: "b", outcome: "refused", why: "b.prompt says something else; --force replaces it" },
      { name: "c", outcome: "refused", why: "c.txt says something else; --force replaces it" },
    ]);
    expect(await readFile(join(dir, "a.md"), "utf8")).toBe("mine");
    expect(await exportPrompts(dir, each(...prompts), { force: true })).toEqual([
      { name: "a", outcome: "written", path: "a.md" },
      { name: "b", outcome: "written", path: "b.md" },
      { name: "c", outcome: "written", path: "c.md" },
    ]);
    expect((await readdir(dir)).sort()).toEqual(["a.md", "b.md", "c.md"]);
  });

  it("never writes outside of the folder", async () => {
    await symlink(outside, join(dir, "out"));
    await writeFile(join(outside, "target.md"), "theirs");
    await symlink(join(outside, "target.md"), join(dir, "link.md"));
    await put({ "file.md": "", "folder.md/x.md": "" });
    const names = ["out/a", "out/b/c", "link", "../a", "file.md/a", "folder"];
    const exported = await exportPrompts(dir, each(...names.map((name) => prompt(name, "x"))), {
      force: true,
    });
    expect(exported.map((result) => ("why" in result ? result.why : result.outcome))).toEqual([
      "out is not a folder",
      "out is not a folder",
      "link.md is not a regular file",
      expect.stringContaining('".." starts with a dot'),
      "file.md is not a folder",
      "folder.md is not a regular file",
    ]);
    expect(await readdir(outside)).toEqual(["target.md"]);
    expect(await readFile(join(outside, "target.md"), "utf8")).toBe("theirs");
  });

  it("leaves nothing behind when a file cannot be written", async () => {
    await put({ "locked/a.md": "mine" });
    await chmod(join(dir, "locked"), 0o555);
    try {
      const [exported] = await exportPrompts(dir, each(prompt("locked/b", "x")));
      // The superuser writes there all the same.
      if (process.getuid?.() !== 0) expect(exported).toMatchObject({ why: "EACCES" });
    } finally {
      await chmod(join(dir, "locked"), 0o755);
    }
    const left = (await readdir(join(dir, "locked"))).filter((name) => name.startsWith("."));
    expect(left).toEqual([]);
  });
});
