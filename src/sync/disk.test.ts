import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Disk } from "./disk.ts";

let root: string;
let disk: Disk;

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "promptd-disk-")));
  disk = new Disk(root);
});

afterEach(() => rm(root, { recursive: true }));

const bytes = (text: string) => Buffer.from(text);

it("writes into folders that it makes, and removes those that become empty", async () => {
  await disk.put("a/b/c.md", bytes("one"));
  await disk.put("a/d.md", bytes("two"));
  await disk.remove("a/b/c.md", bytes("one"));
  expect(await readdir(root, { recursive: true })).toEqual(["a", "a/d.md"]);
});

it.each<[string, string | undefined, string | undefined]>([
  ["another file", "new", "old"],
  ["a file where none was", "new", undefined],
  ["no file where one was", undefined, "old"],
])("finds %s, and leaves what is there", async (_, now, seen) => {
  if (now !== undefined) await disk.put("a.md", bytes(now));
  const replacing = disk.replace("a.md", bytes("mine"), seen === undefined ? seen : bytes(seen));
  await expect(replacing).rejects.toMatchObject({ code: "conflict" });
  expect(await disk.read("a.md")).toEqual(now === undefined ? undefined : bytes(now));
  expect((await readdir(root)).filter((name) => name.startsWith("."))).toEqual([]);
});

it("does not move a file over another", async () => {
  await disk.put("a.md", bytes("a"));
  await disk.put("b.md", bytes("b"));
  await expect(disk.move("a.md", "b.md")).rejects.toMatchObject({ code: "conflict" });
});

it.each(["../a.md", "/a.md", "a/../../b.md"])("refuses %s, which leads out", async (path) => {
  await expect(disk.put(path, bytes(""))).rejects.toThrow("leads out of the folder");
  await expect(disk.read(path)).rejects.toThrow("leads out of the folder");
});

it("follows no link, neither to write nor to read", async () => {
  const elsewhere = await mkdtemp(join(tmpdir(), "promptd-elsewhere-"));
  try {
    await writeFile(join(elsewhere, "secret"), "secret");
    await symlink(elsewhere, join(root, "linked"));
    await symlink(join(elsewhere, "secret"), join(root, "file.md"));
    await mkdir(join(root, "real"));
    for (const path of ["linked/secret", "linked/deeper/a.md", "file.md"]) {
      await expect(disk.read(path)).rejects.toMatchObject({ code: "refused" });
      await expect(disk.replace(path, bytes("x"), bytes("secret"))).rejects.toMatchObject({
        code: "refused",
      });
    }
    expect(await readFile(join(elsewhere, "secret"), "utf8")).toBe("secret");
    expect(await readdir(elsewhere)).toEqual(["secret"]);
  } finally {
    await rm(elsewhere, { recursive: true });
  }
});
