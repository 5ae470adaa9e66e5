import { expect, it } from "vitest";
import type { Rollout } from "../../../src/core/rollout/rollout.ts";
import { verifyChanges } from "../../../src/store/change-chain.ts";
import { canary } from "../../support/rollouts.ts";
import { failure } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

const RUNNING = {
  state: "running",
  arms: [{ name: "canary", target: { version: 2 }, weight: 500 }],
  overrides: 1,
};

/** What moves of labels do to the rollouts of these labels. */
export function rolloutRules(subject: Subject): void {
  const store = () => subject.bench.rollouts;

  const begin = (rollout: Rollout) =>
    store().putRollout(subject.bench.caller, { rollout, expectedRevision: 0, reason: "try" });

  const stateOf = async (label = "production", name = "p") =>
    (await store().findRollout(subject.bench.caller, { name, label }))?.state;

  /** A prompt of two versions with `production` and `staging` on the first, and a rollout of each. */
  async function split() {
    const { bench } = subject;
    await bench.create("p", "1", { labels: ["production", "staging"] });
    await bench.create("p", "2");
    await begin(canary("p", "staging"));
    return begin(canary("p"));
  }

  const lastChange = async () => (await subject.bench.changes()).at(-1);

  it("aborts the rollout of a label that moves, in the same change", async () => {
    const { bench } = subject;
    const begun = await split();
    const { revision, abortedRollouts } = await bench.label("p", { production: 2 });
    expect(abortedRollouts).toEqual(["production"]);
    expect(revision).toBe(begun.revision + 1);
    expect(await lastChange()).toMatchObject({
      revision,
      kind: "labels_set",
      labels: [{ label: "production", from: 1, to: 2 }],
      rollouts: [
        { label: "production", previous: RUNNING, current: { ...RUNNING, state: "aborted" } },
      ],
    });
    const at = { name: "p", label: "production" };
    expect(await store().findRollout(bench.caller, at)).toMatchObject({
      ...canary("p"),
      state: "aborted",
      revision,
      actor: "tester",
      reason: "because",
    });
    expect(await stateOf("staging")).toBe("running");
    expect(await verifyChanges(subject.database)).toMatchObject({ head: expect.any(String) });
  });

  it("aborts it also where the label is there already, in a change of its own", async () => {
    const { bench } = subject;
    const begun = await split();
    const { revision, previous, abortedRollouts } = await bench.label("p", { production: 1 });
    expect({ revision, previous, abortedRollouts }).toEqual({
      revision: begun.revision + 1,
      previous: [{ label: "production", version: 1 }],
      abortedRollouts: ["production"],
    });
    expect(await lastChange()).toMatchObject({
      revision,
      kind: "rollout_set",
      name: "p",
      reason: "because",
      labels: [],
      rollouts: [{ label: "production", current: { state: "aborted" } }],
    });
    // What has ended does not end again.
    expect(await bench.label("p", { production: 1 })).toMatchObject({
      revision,
      abortedRollouts: [],
    });
  });

  it("aborts those of all labels that are named, moved or not", async () => {
    const { bench } = subject;
    await split();
    const moved = await bench.label("p", { production: 1, staging: 2, other: 1 });
    expect(moved.abortedRollouts).toEqual(["production", "staging"]);
    expect(await lastChange()).toMatchObject({
      kind: "labels_set",
      rollouts: [{ label: "production" }, { label: "staging" }],
    });
    expect(await stateOf("staging")).toBe("aborted");
  });

  it("leaves paused ones no more than running ones, and those of other prompts alone", async () => {
    const { bench } = subject;
    await split();
    await bench.create("q", "1", { labels: ["production"] });
    await begin({ ...canary("q"), state: "paused" });
    await bench.label("p", { production: 2 });
    expect(await stateOf("production", "q")).toBe("paused");
    const { abortedRollouts } = await bench.label("q", { production: 1 });
    expect(abortedRollouts).toEqual(["production"]);
  });

  it("keeps it where that is asked for", async () => {
    const { bench } = subject;
    const { revision } = await split();
    const keep = (version: number) => bench.label("p", { production: version }, undefined, "keep");
    expect(await keep(1)).toMatchObject({ revision, abortedRollouts: [] });
    expect(await keep(2)).toMatchObject({ revision: revision + 1, abortedRollouts: [] });
    expect(await lastChange()).not.toHaveProperty("rollouts");
    expect(await stateOf()).toBe("running");
  });

  it.each([2, 1])("promotes it in the one change that puts its label on %i", async (version) => {
    const { bench } = subject;
    const { revision } = await split();
    const fate = { promotedArm: "canary", revision };
    const promoted = await bench.label("p", { production: version }, undefined, fate);
    expect(promoted).toMatchObject({ revision: revision + 1, abortedRollouts: [] });
    expect(await bench.versionOf("p", "production")).toBe(version);
    expect(await lastChange()).toMatchObject({
      revision: revision + 1,
      kind: version === 2 ? "labels_set" : "rollout_set",
      rollouts: [{ current: { state: "promoted", promotedArm: "canary" } }],
    });
    const at = { name: "p", label: "production" };
    expect(await store().findRollout(bench.caller, at)).toMatchObject({
      state: "promoted",
      promotedArm: "canary",
      revision: revision + 1,
    });
    const again = bench.label("p", { production: version }, undefined, fate);
    expect(await failure(again)).toMatchObject({ code: "conflict" });
  });

  it("moves nothing where the rollout to be promoted has changed since, or is not there", async () => {
    const { bench } = subject;
    const { revision } = await split();
    const promote = (label: string, seen: number) =>
      bench.label("p", { [label]: 2 }, undefined, { promotedArm: "canary", revision: seen });
    expect(await failure(promote("production", revision - 1))).toMatchObject({
      code: "conflict",
      message: `label "production" of prompt "p" has a rollout of revision ${revision}, not revision ${revision - 1}: it was changed since`,
    });
    expect(await failure(promote("other", revision))).toMatchObject({ code: "conflict" });
    expect(await lastChange()).toMatchObject({ revision });
    expect(await bench.labels("p")).toEqual({ latest: 2, production: 1, staging: 1 });
    expect(await stateOf()).toBe("running");
  });

  it("aborts those of the labels that a new version is given", async () => {
    const { bench } = subject;
    await split();
    const created = await bench.create("p", "3", { labels: ["production", "free"] });
    expect(created.abortedRollouts).toEqual(["production"]);
    expect(await lastChange()).toMatchObject({
      kind: "version_created",
      rollouts: [{ label: "production", current: { state: "aborted" } }],
    });
    expect(await stateOf("staging")).toBe("running");
    expect((await bench.create("p", "4")).abortedRollouts).toEqual([]);
  });

  it("aborts them also where the version is there already, with its labels", async () => {
    const { bench } = subject;
    await split();
    await bench.label("p", { production: 2 }, undefined, "keep");
    const { revision, ...created } = await bench.create("p", "2", { labels: ["production"] });
    expect(created).toMatchObject({ created: false, abortedRollouts: ["production"] });
    expect(await lastChange()).toMatchObject({ revision, kind: "rollout_set", labels: [] });
    const again = await bench.create("p", "2", { labels: ["production"] });
    expect(again).toMatchObject({ revision, abortedRollouts: [] });
  });

  it.each([{ versions: [1] }, { versions: "all" as const }])(
    "aborts those of labels that go with $versions",
    async ({ versions }) => {
      const { bench } = subject;
      await split();
      const { abortedRollouts, revision } = await bench.remove("p", versions);
      expect(abortedRollouts).toEqual(["production", "staging"]);
      expect(await lastChange()).toMatchObject({
        revision,
        kind: "versions_deleted",
        rollouts: [{ label: "production" }, { label: "staging" }],
      });
      expect(await stateOf()).toBe("aborted");
    },
  );

  it("lets no rollout that cannot be read keep a label from moving: it goes", async () => {
    const { bench } = subject;
    await split();
    await subject.database.transaction(undefined, (db) =>
      db
        .updateTable("rollouts")
        .set({ rollout: "{}" })
        .where("project", "=", bench.caller.project)
        .where("label", "=", "production")
        .execute(),
    );
    expect((await bench.label("p", { production: 2 })).abortedRollouts).toEqual(["production"]);
    expect((await lastChange())?.rollouts).toEqual([{ label: "production" }]);
    expect(await stateOf()).toBeUndefined();
  });
}
