import { expect, it } from "vitest";
import { MAX_LABELS } from "../../../src/store/labels.ts";
import { failure } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

export function labelRules(subject: Subject): void {
  it("moves, adds and removes labels in one change, and tells how to undo it", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["production", "old"] });
    await bench.create("p", "2");
    const { revision, previous } = await bench.label("p", { production: 2, old: 0, fresh: 1 });
    expect(previous).toEqual([
      { label: "production", version: 1 },
      { label: "old", version: 1 },
      { label: "fresh", version: 0 },
    ]);
    expect(await bench.labels("p")).toEqual({ production: 2, fresh: 1, latest: 2 });
    expect((await bench.changes()).at(-1)).toMatchObject({
      revision,
      kind: "labels_set",
      name: "p",
      actor: "tester",
      reason: "because",
      versions: [],
      labels: [
        { label: "production", from: 1, to: 2 },
        { label: "old", from: 1, to: 0 },
        { label: "fresh", from: 0, to: 1 },
      ],
    });

    const undo = { name: "p", moves: previous, reason: "" };
    await bench.registry.setLabels(bench.caller, undo);
    expect(await bench.labels("p")).toEqual({ production: 1, old: 1, latest: 2 });
  });

  it("gives the prompt a new revision and time", async () => {
    const { bench } = subject;
    await bench.create("p", "1");
    const { revision } = await bench.label("p", { a: 1 });
    const pointer = await bench.registry.find(bench.caller, "p", { label: "a" });
    expect(pointer.revision).toBe(revision);
    const [, change] = await bench.changes();
    expect(pointer.updatedAt).toEqual(change?.createdAt);
  });

  it("changes nothing where all stands as asked", async () => {
    const { bench } = subject;
    const { revision } = await bench.create("p", "1", { labels: ["a"] });
    const answer = await bench.label("p", { a: 1, absent: 0 });
    expect(answer).toEqual({
      revision,
      previous: [
        { label: "a", version: 1 },
        { label: "absent", version: 0 },
      ],
      abortedRollouts: [],
    });
    expect(await bench.changes()).toHaveLength(1);
  });

  it("records only what moved", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["a"] });
    await bench.label("p", { a: 1, b: 1, absent: 0 });
    expect((await bench.changes()).at(-1)?.labels).toEqual([{ label: "b", from: 0, to: 1 }]);
  });

  it("holds the caller to the revision of the prompt, not to that of the database", async () => {
    const { bench } = subject;
    const { revision } = await bench.create("p", "1");
    await bench.create("other", "1");
    const moved = await bench.label("p", { a: 1 }, revision);
    const error = await failure(bench.label("p", { a: 0 }, revision));
    expect(error.code).toBe("conflict");
    expect(error.message).toBe(
      `prompt "p" has revision ${moved.revision}, not ${revision}: it was changed since`,
    );
    expect(await bench.versionOf("p", "a")).toBe(1);
  });

  it("names the version that is missing, and moves nothing", async () => {
    const { bench } = subject;
    await bench.create("p", "1");
    await bench.create("p", "2");
    const error = await failure(bench.label("p", { a: 1, b: 3 }));
    expect(error.code).toBe("not_found");
    expect(error.message).toBe('prompt "p" has no version 3; it has versions 1 to 2');
    expect(await bench.labels("p")).toEqual({ latest: 2 });
    expect((await failure(bench.label("q", { a: 1 }))).message).toBe('prompt "q" does not exist');
  });

  it("leaves latest where it is", async () => {
    const { bench } = subject;
    await bench.create("p", "1");
    await bench.create("p", "2");
    await bench.label("p", { latest: 1 });
    await bench.label("p", { latest: 0 });
    expect(await bench.labels("p")).toEqual({ latest: 2 });
  });

  it("shows those of the last move first, and latest at the end", async () => {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["production", "b"] });
    const shown = async (version: number) =>
      (await bench.registry.load(bench.caller, "p", { version })).labels;
    expect(await shown(1)).toEqual(["production", "b", "latest"]);
    await bench.label("p", { z: 1, a: 1, b: 1 });
    expect(await shown(1)).toEqual(["z", "a", "production", "b", "latest"]);
    await bench.create("p", "2", { labels: ["z"] });
    expect(await shown(1)).toEqual(["a", "production", "b"]);
    await bench.label("p", { z: 1 });
    await bench.remove("p", [2]);
    expect(await shown(1)).toEqual(["z", "a", "production", "b", "latest"]);
  });

  it(`keeps at most ${MAX_LABELS} labels of a prompt`, async () => {
    const { bench, database } = subject;
    await bench.create("p", "1");
    await bench.create("p", "2");
    const { project } = bench.caller;
    const labels = Array.from({ length: MAX_LABELS - 1 }, (_, index) => `l${index}`);
    await database.transaction(undefined, async (db) => {
      for (let start = 0; start < labels.length; start += 1000) {
        const rows = labels
          .slice(start, start + 1000)
          .map((label) => ({ project, name: "p", label, version: 1, place: 0 }));
        await db.insertInto("labels").values(rows).execute();
      }
    });
    await bench.label("p", { last: 1 });
    const error = await failure(bench.label("p", { more: 1 }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain(`would have ${MAX_LABELS + 1} labels`);
    expect((await failure(bench.create("p", "3", { labels: ["more"] }))).code).toBe("refused");
    await bench.label("p", { last: 2 });
    await bench.label("p", { last: 0, more: 1 });
  });
}
