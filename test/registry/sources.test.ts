import { beforeEach, describe, expect, it } from "vitest";
import type { Rollout } from "../../src/core/rollout/rollout.ts";
import type { Sighting, SourceChange } from "../../src/core/source-journal.ts";
import { StoredSourceFollowing } from "../../src/store/source-following.ts";
import { StoredSourceJournal } from "../../src/store/source-journal.ts";
import { canary } from "../support/rollouts.ts";
import { Bench, failure, newProject } from "./fixtures.ts";
import { describeOnBoth } from "./on-both.ts";

const MINUTE = 60_000;

const LABELS_SET: SourceChange = {
  kind: "labels_set",
  reason: "because",
  versions: [],
  labels: [{ label: "production", from: 0, to: 1 }],
};

const sighting = (name: string, fingerprint = "one"): Sighting => ({
  name,
  fingerprint,
  updatedAt: 1,
});

describeOnBoth("what is kept of a source elsewhere", (subject) => {
  let bench: Bench;
  let project: string;
  let now: number;
  const journal = () => new StoredSourceJournal(subject.database, () => now);
  const following = () => new StoredSourceFollowing(subject.database, () => now);
  const kinds = async () => (await bench.changes()).map(({ name, kind }) => [name, kind]);

  beforeEach(async () => {
    bench = new Bench(subject.database, await newProject(subject.database));
    project = bench.caller.project;
    now = Date.now();
  });

  it("tells of a change once it is done, and gives the prompt its revision", async () => {
    const edit = await journal().begin({ ...bench.caller, origin: "192.0.2.1" }, { name: "p" });
    expect(edit.revision).toBe(0);
    expect(await bench.changes()).toEqual([]);
    const { revision } = await edit.finish([LABELS_SET], sighting("p"));
    expect(await bench.changes()).toMatchObject([
      { revision, kind: "labels_set", actor: "tester", origin: "192.0.2.1", reason: "because" },
    ]);
    const revisions = await journal().revisions(project, ["p", "q"]);
    expect([...revisions]).toEqual([["p", revision]]);
    const expected = { name: "p", expectedRevision: revision };
    await (await journal().begin(bench.caller, expected)).finish([], undefined);
    const wrong = { name: "p", expectedRevision: revision + 1 };
    expect((await failure(journal().begin(bench.caller, wrong))).code).toBe("conflict");
  });

  it("lets one mutation of a prompt begin at a time, and those of others beside it", async () => {
    const first = await journal().begin(bench.caller, { name: "p" });
    const beside = await journal().begin(bench.caller, { name: "q" });
    const order: string[] = [];
    const waiting = journal()
      .begin(bench.caller, { name: "p" })
      .then((edit) => {
        order.push("second");
        return edit;
      });
    await beside.finish([], undefined);
    order.push("first");
    const { revision } = await first.finish([LABELS_SET], undefined);
    const second = await waiting;
    expect(order).toEqual(["first", "second"]);
    expect(second.revision).toBe(revision);
    await second.finish([], undefined);
  });

  it("takes one that never ended for a change that nobody knows the outcome of", async () => {
    await journal().begin(bench.caller, { name: "p" });
    await journal().begin(bench.caller, { name: "q" });
    await following().recover(project);
    expect(await bench.changes()).toEqual([]);
    now += MINUTE;
    // By the next one of the same prompt, or whoever follows the source.
    const next = await journal().begin(bench.caller, { name: "p" });
    expect(await kinds()).toEqual([["p", "source_changed"]]);
    expect(next.revision).toBeGreaterThan(0);
    await following().recover(project);
    expect(await kinds()).toEqual([
      ["p", "source_changed"],
      ["q", "source_changed"],
    ]);
    await following().recover(project);
    expect(await bench.changes()).toHaveLength(2);
    await next.finish([], undefined);
  });

  it("asks the policies of labels, as they are then", async () => {
    const { registry, caller } = bench;
    const edit = await journal().begin({ ...caller, scopes: ["write"] }, { name: "p" });
    expect(await edit.heedPolicies(["production"])).toEqual([]);
    const policy = { label: "production", protection: "protected" as const, reason: "" };
    await registry.setLabelPolicy(caller, policy);
    expect((await failure(edit.heedPolicies(["production"]))).code).toBe("forbidden");
    expect(await edit.heedPolicies(["canary"])).toEqual([]);
  });

  describe("with rollouts", () => {
    const find = (label: string) => bench.rollouts.findRollout(bench.caller, { name: "p", label });
    const put = (rollout: Rollout, expectedRevision = 0) =>
      bench.rollouts.putRollout(bench.caller, { rollout, expectedRevision, reason: "" });
    const moved = { ...LABELS_SET, labels: [{ label: "production", from: 1, to: 2 }] };

    it("ends those of the labels that moved or were named, and no others", async () => {
      for (const label of ["production", "staging", "other"]) await put(canary("p", label));
      const edit = await journal().begin(bench.caller, { name: "p" });
      const done = { ...moved, unmoved: ["staging", "without"] };
      expect(await edit.finish([done], undefined)).toEqual({
        revision: edit.revision + 1,
        abortedRollouts: ["production", "staging"],
      });
      const [change] = (await bench.changes()).slice(-1);
      expect(change).toMatchObject({ kind: "labels_set", rollouts: [{}, {}] });
      expect(change).not.toHaveProperty("unmoved");
      expect((await find("other"))?.state).toBe("running");
    });

    it("tells nothing where no label moved and no rollout ended", async () => {
      const edit = await journal().begin(bench.caller, { name: "p" });
      const done = { ...moved, kind: "rollout_set" as const, labels: [], unmoved: ["staging"] };
      expect(await edit.finish([done], undefined)).toEqual({ revision: 0, abortedRollouts: [] });
      expect(await bench.changes()).toEqual([]);
    });

    it("aborts one that was to be promoted and was changed meanwhile: its label has moved", async () => {
      const { revision } = await put(canary("p"));
      const promotes = { labels: ["production"], revision };
      const edit = await journal().begin(bench.caller, { name: "p", promotes });
      await put(canary("p", "production", 1000), revision);
      const rollouts = { promotedArm: "canary", revision };
      const { abortedRollouts } = await edit.finish([{ ...moved, rollouts }], undefined);
      expect(abortedRollouts).toEqual(["production"]);
      expect((await find("production"))?.state).toBe("aborted");
    });
  });

  it("tells of what differs from what was seen, once", async () => {
    const observe = async (...sightings: Sighting[]) => {
      const { revision: since } = await following().standing(project);
      await following().observe(project, { sightings, since, reason: "seen" });
    };
    await observe(sighting("p"), sighting("q"));
    await observe(sighting("p"), sighting("q", "two"));
    await observe(sighting("p"), { ...sighting("q"), fingerprint: undefined });
    await observe({ ...sighting("q"), fingerprint: undefined });
    expect(await kinds()).toEqual(["p", "q", "q", "q"].map((name) => [name, "source_changed"]));
    expect([...(await following().sightings(project)).keys()]).toEqual(["p"]);
    expect([...(await following().sightings(project, ["p", "x"])).keys()]).toEqual(["p"]);
  });

  it("does not tell again of what a mutation has told, or is about to", async () => {
    const { revision: since } = await following().standing(project);
    const edit = await journal().begin(bench.caller, { name: "p" });
    const seen = { sightings: [sighting("p", "between")], since, reason: "seen" };
    await following().observe(project, seen);
    await edit.finish([LABELS_SET], sighting("p", "after"));
    // What was read before the mutation comes late.
    await following().observe(project, seen);
    const { revision } = await following().standing(project);
    await following().observe(project, {
      ...seen,
      since: revision,
      sightings: [sighting("p", "after")],
    });
    expect(await kinds()).toEqual([["p", "labels_set"]]);
  });

  it("is quiet about what is seen first, and only then", async () => {
    const names = Array.from({ length: 450 }, (_, at) => `p${at}`);
    const first = { since: 0, reason: "seen", watermark: 5, quietly: true };
    const sightings = names.map((name) => sighting(name));
    await following().observe(project, { ...first, sightings });
    expect(await bench.changes()).toEqual([]);
    expect((await following().sightings(project)).size).toBe(names.length);
    expect((await following().standing(project)).watermark).toBe(5);
    // Another process that wants to begin finds that it was done.
    await following().observe(project, { ...first, sightings: [sighting("p1", "two")] });
    expect((await following().sightings(project)).get("p1")?.fingerprint).toBe("one");
    // A watermark never goes back.
    await following().observe(project, { ...first, quietly: false, watermark: 4, sightings: [] });
    expect((await following().standing(project)).watermark).toBe(5);
  });

  it("is followed by one process until it lets go, or is not heard of", async () => {
    const [first, second] = [following(), following()];
    expect(await first.hold(project, MINUTE)).toBe(true);
    expect(await second.hold(project, MINUTE)).toBe(false);
    expect(await first.hold(project, MINUTE)).toBe(true);
    await second.release(project);
    expect(await second.hold(project, MINUTE)).toBe(false);
    await first.release(project);
    expect(await second.hold(project, MINUTE)).toBe(true);
    now += MINUTE;
    expect(await first.hold(project, MINUTE)).toBe(true);
    // Of several at once one does.
    now += MINUTE;
    const others = await Promise.all(
      Array.from({ length: 8 }, () => following().hold(project, MINUTE)),
    );
    expect(others.filter(Boolean)).toHaveLength(1);
  });

  it("knows an event that was taken in, for some time", async () => {
    const observed = { sightings: [], since: 0, reason: "told", eventId: "e", doubtful: ["p"] };
    expect(await following().knowsEvent(project, "e")).toBe(false);
    await following().observe(project, observed);
    expect(await following().knowsEvent(project, "e")).toBe(true);
    expect(await following().knowsEvent("other", "e")).toBe(false);
    expect(await kinds()).toEqual([["p", "source_changed"]]);
    await following().forgetEvents(project, now);
    expect(await following().knowsEvent(project, "e")).toBe(true);
    await following().forgetEvents(project, now + 1);
    expect(await following().knowsEvent(project, "e")).toBe(false);
  });
});
