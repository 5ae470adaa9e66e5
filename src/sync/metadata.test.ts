import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Disk } from "./disk.ts";
import { METADATA_FILE, Metadata, type PromptRecord } from "./metadata.ts";

const RECORD: PromptRecord = {
  file: "a.md",
  base: "0".repeat(64),
  tags: [],
  local_checksum: null,
  remote_version: 3,
  remote_updated_at: "2026-01-02T03:04:05.678Z",
  direction: "pull",
  status: "synced",
};

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "promptd-metadata-"));
  const metadata = Metadata.begin(new Disk(folder), "remote", "latest");
  metadata.set("b", { ...RECORD, file: "b.md" });
  metadata.set("a", RECORD);
  await metadata.save();
});

afterEach(() => rm(folder, { recursive: true }));

const text = () => readFile(join(folder, METADATA_FILE), "utf8");

it("comes back as it was, in order of name", async () => {
  const metadata = await Metadata.open(new Disk(folder), "remote");
  expect(metadata.get("a")).toEqual(RECORD);
  expect(metadata.files()).toEqual(
    new Map([
      ["a.md", "a"],
      ["b.md", "b"],
    ]),
  );
  expect(await text()).toMatch(/^\{\n {2}"format": 1,.*"a": \{.*"b": \{.*\}\n$/s);
});

it("is not written again where nothing has changed", async () => {
  const metadata = await Metadata.open(
    new Disk(folder, (what) => expect.unreachable(what)),
    "remote",
  );
  const { status, ...others } = RECORD;
  metadata.set("a", { status, ...others });
  await metadata.save();
});

it.each(["write", "rename"])("is the old one where it ends before %s", async (step) => {
  const before = await text();
  const disk = new Disk(folder, (what) => {
    if (what.startsWith(step)) throw new Error("crash");
  });
  const metadata = await Metadata.open(disk, "remote");
  metadata.set("a", undefined);
  await expect(metadata.save()).rejects.toThrow("crash");
  expect(await text()).toBe(before);
  expect((await Metadata.open(new Disk(folder), "remote")).get("a")).toEqual(RECORD);
});

it("leaves no file beside it", async () => {
  expect(await readdir(join(folder, ".promptd"))).toEqual(["sync.json"]);
});

it("says what to do where there is none", async () => {
  await rm(join(folder, METADATA_FILE));
  await expect(Metadata.open(new Disk(folder), "remote")).rejects.toThrow(
    "this folder is not synced yet: run promptd sync init",
  );
});

it("refuses that of another remote", async () => {
  await expect(Metadata.open(new Disk(folder), "other")).rejects.toThrow(
    "this folder is synced with remote, not with other",
  );
});

it.each([
  ["half of it", (json: string) => json.slice(0, -20), "it is not JSON"],
  ["a conflict of git", (json: string) => `<<<<<<< HEAD\n${json}`, "it is not JSON"],
  ["another format", (json: string) => json.replace('"format": 1', '"format": 2'), "format: "],
  [
    "a base that is no hash",
    (json: string) => json.replace(/0{64}/, "0"),
    "prompts.a.base: expected a SHA-256 in hex",
  ],
  [
    "a state that is none",
    (json: string) => json.replace('"synced"', '"done"'),
    "prompts.a.status: ",
  ],
])("refuses %s, and says where", async (_, damage, why) => {
  await writeFile(join(folder, METADATA_FILE), damage(await text()));
  const opening = Metadata.open(new Disk(folder), "remote");
  await expect(opening).rejects.toThrow(`${METADATA_FILE} cannot be used: ${why}`);
  await expect(opening).rejects.toThrow("promptd sync init --force makes a new one");
});

it("takes what others write meanwhile, again and again", async () => {
  const open = () => Metadata.open(new Disk(folder), "remote");
  const [ours, theirs] = [await open(), await open()];
  for (const name of ["a", "b"]) {
    theirs.set(name, { ...RECORD, file: `${name}.md`, edited: true });
    await theirs.save();
    await ours.refresh();
  }
  ours.set("c", { ...RECORD, file: "c.md" });
  await ours.save();
  const { prompts } = JSON.parse(await text());
  expect(prompts).toMatchObject({ a: { edited: true }, b: { edited: true }, c: { file: "c.md" } });
});
