import { describe, expect, it } from "vitest";
import { bucketOf } from "./bucket.ts";
import { define, type RolloutDefinition } from "./definition.ts";
import { assign, hasEnded, preview, type Rollout, targetOf } from "./rollout.ts";

const definition: RolloutDefinition = {
  name: "support/triage",
  label: "production",
  state: "running",
  salt: "",
  arms: [
    { name: "canary", target: { version: 4 }, weight: 500 },
    { name: "short", target: { label: "staging" }, weight: 2000 },
  ],
  overrides: [
    { userId: "tester", arm: "canary" },
    { userId: "user-2", arm: "control" },
  ],
};
const rollout = define(definition);
const users = Array.from({ length: 2000 }, (_, index) => `user-${index}`);

describe("a user is given", () => {
  it("the arm of the bucket, and is told so", () => {
    // The bucket is one of the vectors: 2688.
    expect(assign(rollout, "user-1")).toEqual({ arm: "control", bucket: 2688, reason: "split" });
    for (const userId of users.filter((id) => id !== "user-2")) {
      const bucket = bucketOf("support/triage", userId);
      const arm = bucket < 500 ? "canary" : bucket < 2500 ? "short" : "control";
      expect(assign(rollout, userId)).toEqual({ arm, bucket, reason: "split" });
    }
  });

  it("the arm of an override, whatever the bucket", () => {
    const canary = { arm: "canary", bucket: undefined, reason: "override" };
    expect(assign(rollout, "tester")).toEqual(canary);
    expect(assign(rollout, "user-2")).toEqual({ ...canary, arm: "control" });
  });

  it.each(["promoted", "aborted"] as const)("the label where the rollout was %s", (state) => {
    const ended = { ...rollout, state };
    expect(hasEnded(ended)).toBe(true);
    for (const userId of ["tester", ...users]) expect(assign(ended, userId)).toEqual(LABEL);
  });

  it("the label without a user id", () => {
    expect(assign(rollout, "")).toEqual(LABEL);
  });

  it("nothing of what another one was given, where one assignment is used again", () => {
    const into = assign(rollout, "user-1");
    for (const userId of ["tester", "", "user-7", "user-2", "user-1"]) {
      expect(assign(rollout, userId, into)).toBe(into);
      expect(into).toEqual(assign(rollout, userId));
    }
  });

  it("the same when the rollout is paused, and when it goes on", () => {
    const paused = define({ ...definition, state: "paused" }, rollout);
    const resumed = define(definition, paused);
    for (const userId of ["tester", "", ...users]) {
      expect(assign(paused, userId)).toEqual(assign(rollout, userId));
      expect(assign(resumed, userId)).toEqual(assign(rollout, userId));
    }
    expect(preview(rollout, paused, []).moves).toEqual([]);
  });
});

it("sends an arm to its target, and control to the label", () => {
  expect(targetOf(rollout, "canary")).toEqual({ version: 4 });
  expect(targetOf(rollout, "short")).toEqual({ label: "staging" });
  expect(targetOf(rollout, "control")).toEqual({ label: "production" });
});

describe("a preview", () => {
  it("tells what moves, and who would see what", () => {
    const after = define(
      {
        ...definition,
        arms: [
          { name: "canary", target: { version: 4 }, weight: 2500 },
          { name: "terse", target: { version: 5 }, weight: 1000 },
        ],
        overrides: [{ userId: "user-3", arm: "terse" }],
      },
      rollout,
    );
    const { movedBuckets, moves, users: seen } = preview(rollout, after, ["tester", "user-3", ""]);
    expect(movedBuckets).toBe(3000);
    expect(moves).toEqual([
      { from: "short", to: "canary", buckets: 2000 },
      { from: "control", to: "terse", buckets: 1000 },
    ]);
    expect(seen.map(({ userId }) => userId)).toEqual(["tester", "user-3", ""]);
    for (const { userId, before, after: then } of seen) {
      expect(before).toEqual(assign(rollout, userId));
      expect(then).toEqual(assign(after, userId));
    }
    expect(seen[1]?.after).toEqual({ arm: "terse", bucket: undefined, reason: "override" });
  });

  it("of a first rollout begins with everybody in control", () => {
    const { movedBuckets, users: seen } = preview(undefined, rollout, ["tester"]);
    expect(movedBuckets).toBe(2500);
    expect(seen[0]?.before).toEqual(LABEL);
  });

  it("counts all that come back when a rollout ends", () => {
    expect(preview(rollout, { ...rollout, state: "aborted" }, []).moves).toEqual([
      { from: "canary", to: "control", buckets: 500 },
      { from: "short", to: "control", buckets: 2000 },
    ]);
  });

  it("names each pair of arms once, however many ranges they have", () => {
    const step = (a: number, b: number, present?: Rollout) => {
      const arms = [
        { name: "a", target: { version: 1 }, weight: a },
        { name: "b", target: { version: 2 }, weight: b },
      ];
      return define({ ...definition, arms, overrides: [] }, present);
    };
    const scattered = step(3000, 1000, step(1000, 1000));
    expect(scattered.table.filter(({ arm }) => arm === "a")).toHaveLength(2);
    expect(preview(scattered, step(0, 1000, scattered), []).moves).toEqual([
      { from: "a", to: "control", buckets: 3000 },
    ]);
  });
});

const LABEL = { arm: "control", bucket: undefined, reason: "label" };
