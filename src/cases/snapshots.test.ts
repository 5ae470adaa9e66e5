import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Snapshot, SnapshotFolder, snapshotsOf, snapshotText } from "./snapshots.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-snapshots-"));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

const piece = fc.constantFrom(
  "a",
  " ",
  "\n",
  "\r\n",
  "\r",
  "\t",
  "-",
  "#",
  ": ",
  "|",
  "'",
  '"',
  "---\n",
  "\u0085",
  "\u2028",
  "\ufeff",
  "\u0000",
  "\u{1f600}",
  "&a",
  "*",
  "!",
  "...",
  "\\",
);
const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join("")),
);
/** As a case may be called. */
const name = text.filter((text) => /^[^\p{Cc}\u2028\u2029\ufeff]*$/u.test(text));
const snapshot: fc.Arbitrary<Snapshot> = fc.oneof(
  text,
  fc.array(fc.record({ role: text, content: text }, { noNullPrototype: true })),
);

describe("snapshots", () => {
  it("come back as they were, whatever they hold", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, snapshot), { maxLength: 5 }), (entries) => {
        const snapshots = new Map(entries);
        expect(snapshotsOf(snapshotText(snapshots))).toEqual(snapshots);
      }),
      { numRuns: 1000 },
    );
  });

  it("stand as people read them, in order", () => {
    const snapshots = new Map<string, Snapshot>([
      ["b", [{ role: "user", content: "Hi\n  there\n" }]],
      ["a", "one\n\ntwo: #2\n"],
    ]);
    expect(snapshotText(snapshots)).toBe(
      "# Written by `promptd test --update`.\na: |\n  one\n\n  two: #2\nb:\n  - role: user\n    content: |\n      Hi\n        there\n",
    );
  });

  it("come back from a checkout with other line breaks", () => {
    const snapshots = new Map<string, Snapshot>([
      ["a", "one\n\ntwo\n"],
      ["b", "x\r\ny"],
    ]);
    expect(snapshotsOf(snapshotText(snapshots).replaceAll("\n", "\r\n"))).toEqual(snapshots);
  });

  it.each([
    ["a: 5\n", 'line 1: "a": expected a text, or a list of messages'],
    ["a: x\nb:\n  - role: user\n", 'line 2: "b": expected a text, or a list of messages'],
    ["a: [\n", "line 2: not the YAML expected"],
  ])("are not %j", (yaml, problem) => {
    expect(() => snapshotsOf(yaml)).toThrow(problem);
  });

  it("are one file for a prompt, and none where there are none", async () => {
    const folder = await SnapshotFolder.open(dir);
    expect(await folder.kept("team/a")).toEqual({ stem: "team/a", snapshots: new Map() });
    await folder.write("team/a", new Map([["x", "y"]]));
    expect(await readFile(join(dir, ".promptd/snapshots/team/a.yaml"), "utf8")).toBe(
      "# Written by `promptd test --update`.\nx: y\n",
    );
    expect(await folder.stems()).toEqual(["team/a"]);
    expect((await folder.kept("team/a")).snapshots).toEqual(new Map([["x", "y"]]));
    await folder.write("team/a", new Map());
    expect(await folder.stems()).toEqual([]);
  });

  it("are not read, nor written, through a link", async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), "promptd-elsewhere-"));
    try {
      await writeFile(join(elsewhere, "a.yaml"), "x: secret\n");
      await mkdir(join(dir, ".promptd/snapshots"), { recursive: true });
      await symlink(elsewhere, join(dir, ".promptd/snapshots/team"));
      const folder = await SnapshotFolder.open(dir);
      expect(await folder.kept("team/a")).toMatchObject({
        snapshots: new Map(),
        problem: ".promptd/snapshots/team/a.yaml: is a link",
      });
      await expect(folder.write("team/a", new Map([["x", "y"]]))).rejects.toThrow("not a folder");
      expect(await readFile(join(elsewhere, "a.yaml"), "utf8")).toBe("x: secret\n");
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  });

  it("are not looked for through a link", async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), "promptd-elsewhere-"));
    try {
      await writeFile(join(elsewhere, "a.yaml"), "x: secret\n");
      await mkdir(join(dir, ".promptd"));
      await symlink(elsewhere, join(dir, ".promptd/snapshots"));
      expect(await (await SnapshotFolder.open(dir)).stems()).toEqual([]);
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  });
});
