import { describe, expect, it } from "vitest";
import { PromptdError } from "../errors.ts";
import { LIMITS } from "../validate.ts";
import { define, type RolloutDefinition } from "./definition.ts";
import type { Arm, Rollout } from "./rollout.ts";
import { weightsOf } from "./table.ts";

const sound: RolloutDefinition = {
  name: "support/triage",
  label: "production",
  state: "running",
  salt: "",
  arms: [{ name: "canary", target: { version: 4 }, weight: 500 }],
  overrides: [],
};

const arm = (fields: Partial<Arm>): Arm => ({
  name: "canary",
  target: { version: 4 },
  weight: 500,
  ...fields,
});
const arms = (count: number, weight = 1) =>
  Array.from({ length: count }, (_, index) => arm({ name: `arm-${index}`, weight }));
const overrides = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ userId: `user-${index}`, arm: "canary" }));

/** The fields that are refused. */
function refused(definition: Partial<RolloutDefinition>, present?: Rollout): string[] {
  try {
    define({ ...sound, ...definition }, present);
  } catch (error) {
    expect(error).toBeInstanceOf(PromptdError);
    expect((error as PromptdError).code).toBe("invalid");
    return (error as PromptdError).violations.map(({ field }) => field);
  }
  return [];
}

describe("is refused:", () => {
  it.each<[string, Partial<RolloutDefinition>, string[]]>([
    ["no prompt", { name: "" }, ["name"]],
    ["no label", { label: "" }, ["label"]],
    ["latest", { label: "latest" }, ["label"]],
    ["no arm", { arms: [] }, ["definition.arms"]],
    ["an arm too many", { arms: arms(LIMITS.arms + 1) }, ["definition.arms"]],
    ["an arm without a name", { arms: [arm({ name: "" })] }, ["definition.arms[0].name"]],
    ["a name with a space", { arms: [arm({ name: "a b" })] }, ["definition.arms[0].name"]],
    ["a name in upper case", { arms: [arm({ name: "A" })] }, ["definition.arms[0].name"]],
    ["a name too long", { arms: [arm({ name: "a".repeat(37) })] }, ["definition.arms[0].name"]],
    ["control as an arm", { arms: [arm({ name: "control" })] }, ["definition.arms[0].name"]],
    ["an arm twice", { arms: [arm({}), arm({})] }, ["definition.arms"]],
    ["version 0", { arms: [arm({ target: { version: 0 } })] }, ["definition.arms[0].version"]],
    [
      "a label that is none",
      { arms: [arm({ target: { label: "A" } })] },
      ["definition.arms[0].label"],
    ],
    ["less than nothing", { arms: [arm({ weight: -1 })] }, ["definition.arms[0].weight"]],
    ["half a bucket", { arms: [arm({ weight: 0.5 })] }, ["definition.arms[0].weight"]],
    [
      "more than all in one",
      { arms: [arm({ weight: 10_001 })] },
      ["definition.arms[0].weight", "definition.arms"],
    ],
    ["more than all together", { arms: arms(3, 3334) }, ["definition.arms"]],
    ["a salt too long", { salt: "s".repeat(LIMITS.saltBytes + 1) }, ["definition.salt"]],
    ["a broken salt", { salt: "\ud800" }, ["definition.salt"]],
    [
      "overrides too large together",
      {
        overrides: Array.from({ length: 129 }, (_, i) => ({
          userId: `${i}`.padEnd(1024),
          arm: "canary",
        })),
      },
      ["definition.overrides"],
    ],
    [
      "an override too many",
      { overrides: overrides(LIMITS.overrides + 1) },
      ["definition.overrides"],
    ],
    [
      "one of nobody",
      { overrides: [{ userId: "", arm: "canary" }] },
      ["definition.overrides[0].user_id"],
    ],
    ["one to no arm", { overrides: [{ userId: "u", arm: "b" }] }, ["definition.overrides[0].arm"]],
    ["a user twice", { overrides: [...overrides(1), ...overrides(1)] }, ["definition.overrides"]],
    [
      "a user id too long",
      { overrides: [{ userId: "u".repeat(1025), arm: "canary" }] },
      ["definition.overrides[0].user_id"],
    ],
    [
      "all of it at once",
      { label: "latest", arms: [], salt: "\ud800" },
      ["label", "definition.salt", "definition.arms"],
    ],
  ])("%s", (_, definition, fields) => {
    expect(refused(definition)).toEqual(fields);
  });
});

describe("is taken:", () => {
  it.each<[string, Partial<RolloutDefinition>]>([
    ["as many arms as may be", { arms: arms(LIMITS.arms) }],
    ["all of the users in one arm", { arms: [arm({ weight: 10_000 })] }],
    ["all of them together", { arms: [...arms(2, 4000), arm({ weight: 2000 })] }],
    ["an arm of nobody, for overrides", { arms: [arm({ weight: 0 })], overrides: overrides(1) }],
    ["the longest name", { arms: [arm({ name: "a".repeat(36) })] }],
    ["the longest salt", { salt: "s".repeat(LIMITS.saltBytes) }],
    ["as many overrides as may be", { overrides: overrides(LIMITS.overrides) }],
    ["an override to control", { overrides: [{ userId: "u", arm: "control" }] }],
    ["an arm that follows latest", { arms: [arm({ target: { label: "latest" } })] }],
    ["one that begins paused", { state: "paused" }],
  ])("%s", (_, definition) => {
    expect(refused(definition)).toEqual([]);
  });
});

describe("a rollout that is there", () => {
  const first = define(sound);
  const weighing = (weight: number) => ({ ...sound, arms: [arm({ weight })] });

  it("has the prompt's name as salt unless it was given one, and keeps it", () => {
    expect(first.salt).toBe("support/triage");
    const salted = define({ ...sound, salt: "2026-05" });
    expect(define(sound, salted).salt).toBe("2026-05");
    expect(refused({ salt: "2026-05" }, salted)).toEqual([]);
    expect(refused({ salt: "other" }, salted)).toEqual(["definition.salt"]);
    expect(refused({ salt: "other" }, { ...salted, state: "aborted" })).toEqual([]);
  });

  it("keeps its users when its weight grows", () => {
    const table = define(weighing(2500), first).table;
    expect(table).toEqual([
      { start: 0, arm: "canary" },
      { start: 2500, arm: "control" },
    ]);
  });

  it.each(["promoted", "aborted"] as const)("is begun anew once it was %s", (state) => {
    const other = define({ ...sound, arms: [arm({ name: "other", weight: 700 })] }, first);
    const anew = define(weighing(300), { ...other, state });
    expect(anew).toEqual(define(weighing(300)));
  });

  it("takes no other split while it is paused", () => {
    const paused = define({ ...sound, state: "paused" }, first);
    for (const present of [first, paused]) {
      expect(refused({ ...weighing(501), state: "paused" }, present)).toEqual(["state"]);
      expect(refused({ state: "paused", arms: [arm({ name: "b" })] }, present)).toEqual(["state"]);
      expect(
        refused({ state: "paused", arms: [arm({ target: { version: 5 } })] }, present),
      ).toEqual([]);
      expect(refused({ state: "paused", overrides: overrides(1) }, present)).toEqual([]);
    }
    const weights = weightsOf(define(weighing(501), paused).table);
    expect(weights.get("canary")).toBe(501);
  });
});
