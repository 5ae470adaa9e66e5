import { describe, expect, it } from "vitest";
import { PromptdError } from "../errors.ts";
import { define } from "./definition.ts";
import { rolloutFromJson, rolloutToJson } from "./stored.ts";

const rollout = define({
  name: "support/triage",
  label: "production",
  state: "paused",
  salt: "客服",
  arms: [
    { name: "canary", target: { version: 4 }, weight: 500 },
    { name: "idle", target: { version: 1 }, weight: 0 },
    { name: "short", target: { label: "staging" }, weight: 2000 },
  ],
  overrides: [
    { userId: "__proto__", arm: "canary" },
    { userId: "2", arm: "control" },
    { userId: "1", arm: "short" },
  ],
});

it("reads what it wrote", () => {
  for (const state of ["running", "paused", "promoted", "aborted"] as const) {
    const read = rolloutFromJson(rolloutToJson({ ...rollout, state }));
    expect(read).toEqual({ ...rollout, state });
    expect([...read.overrides.keys()]).toEqual(["__proto__", "2", "1"]);
  }
});

it("reads which arm was promoted", () => {
  const promoted = { ...rollout, state: "promoted" as const, promotedArm: "canary" };
  expect(rolloutFromJson(rolloutToJson(promoted))).toEqual(promoted);
});

it("writes what a later promptd must be able to read", () => {
  expect(JSON.parse(rolloutToJson(rollout))).toEqual({
    bucketing: "flagd-v2",
    name: "support/triage",
    label: "production",
    state: "paused",
    salt: "客服",
    arms: [
      { name: "canary", version: 4, weight: 500 },
      { name: "idle", version: 1, weight: 0 },
      { name: "short", label: "staging", weight: 2000 },
    ],
    overrides: [
      ["__proto__", "canary"],
      ["2", "control"],
      ["1", "short"],
    ],
    table: [
      [0, "canary"],
      [500, "short"],
      [2500, "control"],
    ],
  });
});

it("passes over what it does not know", () => {
  const later = { ...JSON.parse(rolloutToJson(rollout)), guardrails: [] };
  expect(rolloutFromJson(JSON.stringify(later))).toEqual(rollout);
});

describe("refuses", () => {
  it.each<[string, Record<string, unknown>, string]>([
    ["another bucketing", { bucketing: "flagd-v3" }, "expected bucketing flagd-v2"],
    ["an unknown state", { state: "waiting" }, "expected a known state"],
    ["a name that is no text", { name: 5 }, "expected a text"],
    ["arms that are no list", { arms: {} }, "expected a list"],
    ["an arm that is none", { arms: [null] }, "expected an object"],
    ["an arm that leads nowhere", { arms: [{ name: "canary", weight: 1 }] }, "expected a number"],
    ["what nobody may ask for", { label: "latest" }, "label: latest is"],
    ["a table with a hole", { table: [[1, "control"]] }, "expected ranges"],
    [
      "other weights",
      {
        table: [
          [0, "canary"],
          [501, "short"],
          [2501, "control"],
        ],
      },
      "expected as many buckets",
    ],
    [
      "a stranger",
      {
        table: [
          [0, "canary"],
          [500, "short"],
          [2500, "b"],
        ],
      },
      "expected as many buckets",
    ],
  ])("%s", (_, damage, message) => {
    const damaged = { ...JSON.parse(rolloutToJson(rollout)), ...damage };
    expect(() => rolloutFromJson(JSON.stringify(damaged))).toThrow(message);
  });

  it.each(["", "null", "[]", "{", "5"])("%j", (json) => {
    try {
      rolloutFromJson(json);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(PromptdError);
      expect((error as PromptdError).code).toBe("internal");
    }
  });
});
