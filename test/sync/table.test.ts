import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { contentKey } from "../../src/sync/contents.ts";
import type { RunReport } from "../../src/sync/report.ts";
import type { Sync } from "../../src/sync/sync.ts";
import { SyncBench, text } from "./bench.ts";
import { REMOTES, type TestRemote } from "./remotes.ts";

const SIDES = ["unchanged", "edited", "new", "deleted"] as const;
type Became = (typeof SIDES)[number];

const BASE = "a\nb\nc\n";
const HERE = "A\nb\nc\n";
const THERE = "a\nb\nC\n";
const MERGED = "A\nb\nC\n";
/** Where nobody knows what both went on from, all that differs is a conflict. */
const MARKED = `<<<<<<< local\nA\n=======\na\n>>>>>>> remote\nb\n<<<<<<< local\nc\n=======\nC\n>>>>>>> remote\n`;

const COMMANDS: Record<string, (sync: Sync, dryRun: boolean) => Promise<RunReport>> = {
  pull: (sync, dryRun) => sync.pull({ dryRun }),
  push: (sync, dryRun) => sync.push({ dryRun }),
  "pull --force": (sync, dryRun) => sync.pull({ dryRun, force: true }),
  "push --force": (sync, dryRun) => sync.push({ dryRun, force: true }),
  "pull --delete": (sync, dryRun) => sync.pull({ dryRun, delete: true }),
  "push --delete": (sync, dryRun) => sync.push({ dryRun, delete: true }),
  "pull --force --delete": (sync, dryRun) => sync.pull({ dryRun, force: true, delete: true }),
  "push --force --delete": (sync, dryRun) => sync.push({ dryRun, force: true, delete: true }),
  "pull --auto-resolve local": (sync, dryRun) => sync.pull({ dryRun, autoResolve: "local" }),
  "push --auto-resolve remote": (sync, dryRun) => sync.push({ dryRun, autoResolve: "remote" }),
  "resolve --strategy local": (sync, dryRun) => sync.resolve("p", "local", { dryRun }),
  "resolve --strategy remote": (sync, dryRun) => sync.resolve("p", "remote", { dryRun }),
  "resolve --strategy merge": (sync, dryRun) => sync.resolve("p", "merge", { dryRun }),
};

/**
 * What becomes of each cell, in the order of the commands. What is new had no base, so
 * beside it the other side is not there, or new too where it is said to be edited.
 */
const TABLE: Record<string, string> = {
  "unchanged unchanged": "keep keep keep keep keep keep keep keep keep keep keep keep keep",
  "unchanged edited": "write keep write send write keep write send write keep keep keep keep",
  "unchanged new": "write keep write keep write keep write keep write keep keep keep keep",
  "unchanged deleted": "refuse keep refuse send remove keep remove send refuse keep keep keep keep",
  "edited unchanged": "keep send write send keep send write send keep send keep keep keep",
  "edited edited":
    "refuse refuse write send refuse refuse write send rebase write rebase write merge",
  "edited new": "refuse refuse write send refuse refuse write send rebase write rebase write merge",
  "edited deleted":
    "refuse refuse refuse send refuse refuse remove send rebase refuse rebase remove error",
  "new unchanged": "keep send keep send keep send keep send keep send keep keep keep",
  "new edited": "refuse refuse write send refuse refuse write send rebase write rebase write merge",
  "new new": "refuse refuse write send refuse refuse write send rebase write rebase write merge",
  "new deleted": "keep send keep send keep send keep send keep send keep keep keep",
  "deleted unchanged":
    "keep refuse write refuse keep withdraw write withdraw keep refuse keep keep keep",
  "deleted edited":
    "refuse refuse write refuse refuse refuse write withdraw refuse write rebase write error",
  "deleted new": "write keep write keep write keep write keep write keep keep keep keep",
  "deleted deleted":
    "forget forget forget forget forget forget forget forget forget forget keep keep keep",
};

const CELLS = SIDES.flatMap((here) =>
  SIDES.flatMap((there) =>
    Object.keys(COMMANDS).map((command, column) => ({
      here,
      there,
      command,
      outcome: TABLE[`${here} ${there}`]?.split(" ")[column] ?? "",
    })),
  ),
);

describe.each(REMOTES)("a folder and $name", ({ start }) => {
  let remote: TestRemote;
  let bench: SyncBench;

  beforeAll(async () => {
    remote = await start();
  });

  afterAll(() => remote.close());

  beforeEach(async () => {
    bench = await SyncBench.open(remote);
  });

  afterEach(async () => {
    await bench.clear();
    await bench.close();
  });

  /** Makes the sides what they shall be. */
  async function arrange(here: Became, there: Became): Promise<void> {
    const hasBase = here !== "new" && there !== "new";
    if (hasBase) await bench.create("p", BASE);
    await bench.sync.init();
    if (hasBase) await bench.sync.pull();
    const isEdited = (side: Became) => side === "edited" || side === "new";
    if (isEdited(here)) await bench.write("p.md", HERE);
    if (isEdited(there)) await bench.create("p", THERE);
    if (hasBase && here === "deleted") await bench.delete("p.md");
    if (hasBase && there === "deleted") await bench.withdraw("p");
  }

  async function look() {
    const [file] = [await bench.read("p.md")];
    const versions = await bench.versions("p");
    const [backups, metadata] = [await bench.backedUp(), await bench.metadata()];
    return { file, versions, backups, base: metadata.p?.base ?? undefined };
  }

  it.each(CELLS)(
    "$here here, $there there: $command",
    async ({ command, here, there, outcome }) => {
      await arrange(here, there);
      const before = await look();
      const act = COMMANDS[command] ?? (() => Promise.reject(new Error(command)));
      const all = await bench.files();
      const predicted = await act(bench.sync, true);
      expect(await bench.files()).toEqual(all);
      expect((await look()).versions).toEqual(before.versions);

      const report = await act(bench.sync, false);
      expect(withoutVersions(report)).toEqual({ ...predicted, dryRun: false });
      expect(report.items.map((item) => item.outcome)).toEqual([outcome]);
      expect(report.ok).toBe(!["refuse", "error"].includes(outcome));

      const after = await look();
      const [newest] = before.versions;
      const key = (template: string | undefined) =>
        template === undefined ? undefined : contentKey({ body: text(template), tags: [] });
      const backup = (side: string, content: string | undefined) =>
        content === undefined ? [] : [{ side, content }];
      const expected = { ...before };
      const isEditThere = newest !== undefined && key(newest) !== before.base;
      switch (outcome) {
        case "write":
          expected.file = newest;
          expected.base = key(newest);
          expected.backups = backup("local", before.file);
          break;
        case "send":
          expected.versions = [before.file ?? "", ...before.versions];
          expected.base = key(before.file);
          expected.backups = isEditThere ? backup("remote", newest) : [];
          break;
        case "remove":
          expected.file = undefined;
          expected.base = undefined;
          expected.backups = backup("local", before.file);
          break;
        case "withdraw":
          expected.versions = [];
          expected.base = undefined;
          expected.backups = backup("remote", newest);
          break;
        case "rebase":
          expected.base = key(newest);
          break;
        case "merge":
          expected.file = before.base === undefined ? MARKED : MERGED;
          expected.base = key(newest);
          expected.backups = backup("local", before.file);
          break;
        case "forget":
          expected.base = undefined;
          break;
      }
      expect(after).toEqual(expected);

      // Where nobody has chosen a side, an edit is where somebody works with it; else a backup may have it.
      const now = [after.file, ...after.versions];
      const backups = after.backups.map(({ content }) => content);
      const kept = ["pull", "push"].includes(command) ? now : [...now, ...backups];
      if (before.file === HERE) expect(kept).toContain(HERE);
      if (newest === THERE) expect(kept).toContain(THERE);
    },
  );
});

/** Versions are not known before they are made. */
function withoutVersions(report: RunReport): RunReport {
  return { ...report, items: report.items.map(({ version: _, ...item }) => item) };
}
