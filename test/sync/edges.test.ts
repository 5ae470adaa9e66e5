import { chmod, rename, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { outcomes, SyncBench } from "./bench.ts";
import { REMOTES, type TestRemote } from "./remotes.ts";

const [registry] = REMOTES;
let remote: TestRemote;
let bench: SyncBench;

beforeEach(async () => {
  if (registry === undefined) throw new Error("there is no registry");
  remote = await registry.start();
  bench = await SyncBench.open(remote);
});

afterEach(async () => {
  await bench.close();
  await remote.close();
});

describe("backups", () => {
  it("hold a file that is called as their own index", async () => {
    await bench.hold("index");
    await rename(join(bench.folder, "index.md"), join(bench.folder, "index.json"));
    await bench.write("index.json", '{"template": "edit"}');
    await bench.sync.pull({ force: true });
    const [backup] = await bench.sync.backups();
    expect(backup).toMatchObject({ name: "index", file: "index.json" });
    await bench.sync.restore({ name: "index" });
    expect(await bench.read("index.json")).toBe('{"template": "edit"}');
  });

  it("come back in the place of a file with another ending", async () => {
    await bench.hold();
    await bench.create("p", "two\n");
    await bench.sync.pull();
    await rename(join(bench.folder, "p.md"), join(bench.folder, "p.txt"));
    await bench.sync.restore({ name: "p" });
    expect(await bench.states()).toEqual({ p: "modified_locally" });
    expect(await bench.read("p.md")).toBe("one\n");
    expect((await bench.backedUp())[0]).toEqual({ side: "local", content: "two\n" });
  });

  it("are kept out of commits whatever began the sync", async () => {
    await bench.hold();
    await bench.delete(".promptd/.gitignore");
    await bench.write("p.md", "edit\n");
    await bench.sync.pull({ force: true });
    expect(await bench.read(".promptd/.gitignore")).toBe("/backups/\n");
  });
});

describe("what somebody else put there", () => {
  const index = (file: string) =>
    JSON.stringify({ name: "p", side: "local", file, why: "", when: "2926-01-01T00:00:00Z" });

  it("hides no backup and fails no pull", async () => {
    await bench.hold();
    await bench.write("p.md", "edit\n");
    await bench.sync.pull({ force: true });
    const stray = (id: string) => `.promptd/backups/2026010${id}T000000000Z-00000000`;
    await bench.write(stray("1"), "");
    await symlink("/etc", join(bench.folder, stray("2")));
    await bench.write("p.md", "edit again\n");
    expect((await bench.sync.pull({ force: true })).ok).toBe(true);
    expect(await bench.sync.backups()).toHaveLength(2);
  });

  it.each([".promptd/sync.json", "../p.md", "notes.yaml"])(
    "is not restored to %s",
    async (file) => {
      await bench.hold();
      const before = await bench.files();
      const folder = ".promptd/backups/29260105T000000000Z-00000000";
      await bench.write(`${folder}/.index.json`, index(file));
      await bench.write(`${folder}/${file}`, "{}");
      await expect(bench.sync.restore({ name: "p" })).rejects.toThrow("there is no backup");
      expect(await bench.files()).toMatchObject(before);
    },
  );

  it.each([".promptd/sync.json", "../../p.md", "notes.yaml"])(
    "is no metadata of %s",
    async (file) => {
      await bench.hold();
      const metadata = (await bench.read(".promptd/sync.json")) ?? "";
      await bench.write(".promptd/sync.json", metadata.replace('"p.md"', JSON.stringify(file)));
      await expect(bench.sync.status()).rejects.toThrow("prompts.p.file");
    },
  );
});

describe("two at once", () => {
  it("forget nothing of what the other has noted", async () => {
    await bench.hold("p");
    await bench.hold("q");
    await bench.create("p", "two\n");
    await bench.write("q.md", "edit\n");
    const pulling = bench.with({
      onWrite: async (what) => {
        if (what === "write p.md") await bench.sync.markEdited("q");
      },
    });
    await pulling.sync.pull();
    expect((await bench.metadata()).q).toMatchObject({ edited: true });
    expect((await bench.metadata()).p).toMatchObject({ remote_version: 2 });
  });
});

describe("conflict markers", () => {
  const MARKED = "<<<<<<< local\nhere\n=======\nthere\n>>>>>>> remote\n";

  async function merged(): Promise<void> {
    await bench.hold();
    await bench.write("p.md", "here\n");
    await bench.create("p", "there\n");
    await bench.sync.resolve("p", "merge");
    expect(await bench.read("p.md")).toBe(MARKED);
  }

  it("are not sent after the local side was taken", async () => {
    await merged();
    await bench.create("p", "there again\n");
    await bench.sync.resolve("p", "local");
    expect(outcomes(await bench.sync.push({ force: true }))).toEqual({ p: "refuse" });
  });

  it("are not sent after metadata was begun anew", async () => {
    await merged();
    await bench.sync.init({ force: true });
    expect(outcomes(await bench.sync.push({ force: true }))).toEqual({ p: "refuse" });
  });

  it("are not sent from a backup", async () => {
    await merged();
    await bench.sync.pull({ force: true });
    await bench.sync.restore({ name: "p" });
    expect(await bench.read("p.md")).toBe(MARKED);
    expect(outcomes(await bench.sync.push())).toEqual({ p: "refuse" });
  });
});

describe("a merge", () => {
  it("is finished once the file has no markers", async () => {
    await bench.hold();
    await bench.write("p.md", "here\n");
    await bench.create("p", "there\n");
    await bench.sync.resolve("p", "merge");
    expect((await bench.sync.status()).prompts[0]).toMatchObject({ merging: true });
    await bench.write("p.md", "there\n");
    expect((await bench.sync.status()).prompts[0]).toMatchObject({ state: "synced" });
    expect((await bench.sync.status()).prompts[0]).not.toHaveProperty("merging");
  });
});

describe("rollback", () => {
  it("goes back to the base too, over what came after it", async () => {
    await bench.hold();
    await bench.create("p", "two\n");
    await bench.sync.rollback("p", 1);
    expect(await bench.states()).toEqual({ p: "modified_locally" });
    expect(outcomes(await bench.sync.push())).toEqual({ p: "send" });
    expect(await bench.versions("p")).toEqual(["one\n", "two\n", "one\n"]);
  });

  it("writes no second file beside one that cannot be read", async () => {
    await bench.hold();
    await bench.delete("p.md");
    await bench.write("p.prompt", "---\ntype: [\n---\n");
    await expect(bench.sync.rollback("p", 1)).rejects.toThrow("p.prompt");
    expect(await bench.read("p.md")).toBeUndefined();
  });
});

it("tells of files that it refuses for their ending", async () => {
  await bench.write("p.j2", "{{ x }}\n");
  await bench.sync.init();
  expect((await bench.sync.status()).ignored).toMatchObject([{ path: "p.j2" }]);
});

it("keeps who may read a file", async () => {
  await bench.hold();
  await chmod(join(bench.folder, "p.md"), 0o600);
  await bench.create("p", "two\n");
  await bench.sync.pull();
  expect((await stat(join(bench.folder, "p.md"))).mode & 0o777).toBe(0o600);
});

it.each(["local", "merge"] as const)(
  "keeps what was decided by %s where the remote side is right",
  async (strategy) => {
    const { sync } = bench.with({ settings: { authority: "remote" } });
    await bench.hold("p", "a\nb\nc\n");
    await bench.write("p.md", "A\nb\nc\n");
    await bench.create("p", "a\nb\nC\n");
    await sync.resolve("p", strategy);
    const decided = await bench.read("p.md");
    expect(outcomes(await sync.pull())).toEqual({ p: "keep" });
    expect(outcomes(await sync.push())).toEqual({ p: "send" });
    expect((await bench.versions("p"))[0]).toBe(decided);
  },
);

it("remembers a file under the ending that it has now", async () => {
  await bench.hold();
  await rename(join(bench.folder, "p.md"), join(bench.folder, "p.txt"));
  await bench.sync.pull();
  expect((await bench.metadata()).p).toMatchObject({ file: "p.txt" });
});
