import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/store/open.ts";
import { ReplicaRows } from "../../src/store/replicas.ts";
import { canary, putRollout } from "../support/rollouts.ts";
import { startService, type TestService } from "../support/service.ts";
import { against } from "./promptd.ts";

let service: TestService;
let cli: ReturnType<typeof against>;

beforeEach(async () => {
  service = await startService();
  cli = against(service.runtime.grpcAddress);
  for (const text of ["one", "two", "three"]) await cli("create p -", { stdin: text });
});

afterEach(() => service.close());

/** Where the labels stand, `latest` aside. */
async function labels(): Promise<Record<string, number>> {
  const { versions } = await service.prompts.listVersions({ name: "p" });
  const pairs = versions.flatMap(({ version, labels }) => labels.map((label) => [label, version]));
  return Object.fromEntries(pairs.filter(([label]) => label !== "latest"));
}

describe("label set and remove", () => {
  it("move labels in one step and tell what moved", async () => {
    expect((await cli("label set p production=1 staging=2")).out).toBe(
      "production (none) -> 1\nstaging (none) -> 2\np is at revision 4\n",
    );
    expect((await cli("label set p production=3 staging=2")).out).toBe(
      "production 1 -> 3\nstaging is there already\np is at revision 5\n",
    );
    expect((await cli("label remove p production staging")).out).toBe(
      "production 3 -> (none)\nstaging 2 -> (none)\np is at revision 6\n",
    );
    expect(await labels()).toEqual({});
  });

  it("answer programs with what undoes the call", async () => {
    await cli("label set p production=1");
    const { out } = await cli([
      "label",
      "set",
      "p",
      "production=2",
      "--reason",
      "why not",
      "--json",
    ]);
    expect(JSON.parse(out)).toEqual({
      revision: "5",
      previous: [{ label: "production", version: 1 }],
      abortedRollouts: [],
    });
    expect((await cli("changes p --limit 1")).out).toContain("why not");
  });

  it("wait for replicas, and tell how many answer with that", async () => {
    const moved = await cli("label set p production=1 --wait 5s");
    expect(moved.out).toBe(
      "production (none) -> 1\np is at revision 4\napplied by 1 of 1 replicas\n",
    );
    const json = await cli("label remove p production --wait 5s --json");
    expect(JSON.parse(json.out)).toMatchObject({ replicas: { applied: 1, live: 1 } });
    expect((await cli("label undo p --wait 5s")).out).toContain("applied by 1 of 1 replicas");
    expect(await cli("label set p production=2 --wait 51s")).toMatchObject({ code: 1 });

    const database = await openDatabase(`sqlite:${join(service.dataDir, "promptd.db")}`);
    await new ReplicaRows(database).report("another one", 3);
    await database.close();
    const behind = await cli("label set p production=2 --wait 100ms");
    expect(behind).toEqual({
      code: 7,
      out: "production 1 -> 2\np is at revision 7\n",
      err: "promptd: applied by only 1 of 2 replicas in time\n",
    });
    const told = await cli("label set p production=3 --wait 100ms --json");
    expect(told.code).toBe(7);
    expect(JSON.parse(told.out)).toMatchObject({ replicas: { applied: 1, live: 2 } });
    expect(await labels()).toEqual({ production: 3 });
  });

  it("heed the revision that is expected", async () => {
    const stale = await cli("label set p production=1 --expected-revision 2");
    expect(stale).toMatchObject({ code: 4, out: "" });
    expect(await cli("label set p production=1 --expected-revision 3")).toMatchObject({ code: 0 });
    expect(await cli("label set p production=9")).toMatchObject({ code: 3 });
  });
});

describe("the rollout of a label", () => {
  const begin = () => putRollout(service, canary("p"));

  it("is aborted where the label is moved, stays or is given to a version", async () => {
    await cli("label set p production=1");
    await begin();
    expect((await cli("label set p production=1")).out).toBe(
      "production is there already\nrollout of production aborted\np is at revision 6\n",
    );
    await begin();
    expect((await cli("label set p production=3")).out).toBe(
      "production 1 -> 3\nrollout of production aborted\np is at revision 8\n",
    );
    await begin();
    expect((await cli("create p - --label production", { stdin: "four" })).out).toBe(
      "p version 4 created\nrollout of production aborted\n",
    );
    await begin();
    expect((await cli("label undo p")).out).toContain("\nrollout of production aborted\n");
  });

  it("is kept where that is asked for", async () => {
    await begin();
    const kept = await cli("label set p production=3 --keep-rollout");
    expect(kept.out).toBe("production (none) -> 3\np is at revision 5\n");
    expect((await cli("label set p production=2")).out).toContain("aborted");
  });

  it("cannot be begun again by an undo", async () => {
    await cli("label set p production=1");
    await begin();
    await cli("label set p production=1");
    expect(await cli("label undo p --revision 6")).toMatchObject({
      code: 1,
      err: expect.stringContaining("revision 6 of p moved no label"),
    });
    expect((await cli("label undo p")).out).toContain("production 1 -> (none)\n");
  });
});

describe("label undo", () => {
  it("puts back what was added, moved and removed, and can be undone", async () => {
    const before = { production: 1, staging: 1 };
    const after = { production: 2, canary: 2 };
    await cli("label set p production=1 staging=1");
    await service.prompts.setLabels({
      name: "p",
      moves: [
        { label: "production", version: 2 },
        { label: "canary", version: 2 },
        { label: "staging", version: 0 },
      ],
    });
    // Changes that moved no label do not matter.
    await service.prompts.setTags({ name: "p", tags: ["t"] });
    await cli("create p -", { stdin: "four" });
    expect(await labels()).toEqual(after);

    const undone = await cli("label undo p");
    expect(undone.code).toBe(0);
    expect(undone.out.split("\n").sort()).toEqual([
      "",
      "canary 2 -> (none)",
      "p is at revision 8",
      "production 2 -> 1",
      "staging (none) -> 1",
    ]);
    expect(await labels()).toEqual(before);
    expect((await cli("changes p --limit 1")).out).toContain("undo of revision 5");

    const redone = await cli(["label", "undo", "p", "--reason", "after all", "--json"]);
    expect(JSON.parse(redone.out)).toMatchObject({ revision: "9" });
    expect(await labels()).toEqual(after);
  });

  it("undoes the labels of a creation", async () => {
    await cli("label set p production=1");
    await cli("create p - --label production --label new", { stdin: "four" });
    expect(await labels()).toEqual({ production: 4, new: 4 });
    await cli("label undo p");
    expect(await labels()).toEqual({ production: 1 });
  });

  it("refuses what has moved since, and says how", async () => {
    await cli("label set p production=1 staging=1");
    await cli("label set p production=2 staging=2");
    await cli("label set p production=3");
    const { code, err } = await cli("label undo p --revision 5");
    expect(code).toBe(4);
    expect(err).toMatch(
      /^promptd: revision 5 cannot be undone, since its labels have moved: production 2 -> 3 in revision 6 by anonymous at 2\S+Z\n$/,
    );
    expect(await labels()).toEqual({ production: 3, staging: 2 });
    // Where they are back, it does not matter that they were away.
    await cli("label set p production=2");
    expect(await cli("label undo p --revision 5")).toMatchObject({ code: 0, err: "" });
    expect(await labels()).toEqual({ production: 1, staging: 1 });
  });

  it("refuses to go back to a version that was deleted", async () => {
    await cli("label set p production=1");
    await cli("label set p production=2");
    await service.prompts.deleteVersions({ name: "p", versions: [1] });
    expect(await cli("label undo p")).toMatchObject({
      code: 1,
      err: "promptd: revision 5 cannot be undone: production was at version 1, deleted in revision 6\n",
    });
    await service.prompts.deleteVersions({ name: "p", versions: [2] });
    expect((await cli("label undo p")).err).toContain("at version 2, deleted in revision 7");
    expect(await labels()).toEqual({});
  });

  it("says where there is nothing to undo", async () => {
    expect(await cli("label undo p")).toMatchObject({
      code: 3,
      err: "promptd: p has no change that moved labels; see `promptd changes p`\n",
    });
    expect(await cli("label undo p --revision 1")).toMatchObject({
      code: 1,
      err: "promptd: revision 1 of p moved no label\n",
    });
    await cli("create other - --label production", { stdin: "x" });
    expect(await cli("label undo p --revision 4")).toMatchObject({
      code: 3,
      err: "promptd: p has no revision 4; see `promptd changes p`\n",
    });
  });
});
