import { describe, expect, it } from "vitest";
import type { PromptdError } from "../errors.ts";
import { define } from "./definition.ts";
import { intended, type RolloutIntent, requireRolloutRevision } from "./intent.ts";
import type { Rollout } from "./rollout.ts";

const KEY = { name: "support/triage", label: "production" };
const definition = {
  salt: "",
  arms: [{ name: "canary", target: { version: 4 }, weight: 500 }],
  overrides: [{ userId: "u", arm: "canary" }],
};
const running = define({ ...KEY, state: "running", ...definition });
const wider = { ...definition, arms: [{ name: "canary", target: { version: 4 }, weight: 2500 }] };
const second = { name: "other", target: { version: 5 }, weight: 100 };
const twoArms = define({
  ...KEY,
  state: "running",
  ...definition,
  arms: [...definition.arms, second],
});

function refusal(intent: Partial<RolloutIntent>, present?: Rollout) {
  try {
    intended({ ...KEY, ...intent }, present);
  } catch (thrown) {
    const { code, violations } = thrown as PromptdError;
    return [code, ...violations.map(({ field }) => field)];
  }
  return undefined;
}

describe("an intent", () => {
  it("begins a rollout that runs, unless it shall be paused", () => {
    expect(intended({ ...KEY, definition }, undefined)).toEqual(running);
    const paused = intended({ ...KEY, definition, state: "paused" }, undefined);
    expect(paused).toEqual({ ...running, state: "paused" });
  });

  it("changes the weights alone, and the state alone", () => {
    const grown = intended({ ...KEY, definition: wider }, running);
    expect(grown).toMatchObject({ state: "running", arms: [{ weight: 2500 }] });
    const paused = intended({ ...KEY, state: "paused" }, grown);
    expect(paused).toEqual({ ...grown, state: "paused" });
    expect(intended({ ...KEY, state: "running" }, paused)).toEqual(grown);
    expect(intended({ ...KEY, state: "aborted" }, paused)).toEqual({ ...grown, state: "aborted" });
  });

  it("leaves a paused rollout paused, and its weights as they are", () => {
    const paused: Rollout = { ...running, state: "paused" };
    expect(intended({ ...KEY, definition }, paused).state).toBe("paused");
    expect(refusal({ definition: wider }, paused)).toEqual(["invalid", "state"]);
    expect(intended({ ...KEY, definition: wider, state: "running" }, paused).state).toBe("running");
  });

  it("promotes the only arm, or the one that is named", () => {
    const promoted = intended({ ...KEY, state: "promoted" }, running);
    expect(promoted).toEqual({ ...running, state: "promoted", promotedArm: "canary" });
    const named = intended({ ...KEY, state: "promoted", promotedArm: "other" }, twoArms);
    expect(named.promotedArm).toBe("other");
    expect(refusal({ state: "promoted" }, twoArms)).toEqual(["invalid", "promoted_arm"]);
    const unknown = refusal({ state: "promoted", promotedArm: "third" }, twoArms);
    expect(unknown).toEqual(["invalid", "promoted_arm"]);
    expect(refusal({ state: "promoted", promotedArm: "third" }, running)).toEqual(unknown);
  });

  it("begins anew what has ended, with nothing left of it", () => {
    const ended: Rollout = { ...running, state: "promoted", promotedArm: "canary" };
    expect(intended({ ...KEY, definition }, ended)).toEqual(running);
    for (const state of ["running", "paused", "aborted", "promoted"] as const) {
      expect(refusal({ state }, ended)).toEqual(["refused"]);
    }
  });

  it("aborts twice what is aborted", () => {
    const aborted: Rollout = { ...running, state: "aborted" };
    expect(intended({ ...KEY, state: "aborted" }, aborted)).toBe(aborted);
  });

  it.each<[string, Partial<RolloutIntent>, string[]]>([
    ["nothing", {}, ["invalid", "definition"]],
    ["an end with a definition", { state: "aborted", definition }, ["invalid", "definition"]],
    ["an arm to promote without that", { promotedArm: "canary" }, ["invalid", "promoted_arm"]],
    ["no arms", { definition: { ...definition, arms: [] } }, ["invalid", "definition.arms"]],
  ])("is refused of %s", (_, intent, expected) => {
    expect(refusal(intent, running)?.slice(0, 2)).toEqual(expected);
  });

  it("needs a rollout that is there", () => {
    expect(refusal({ state: "paused" })).toEqual(["not_found"]);
  });
});

it("holds a caller to the revision that it has seen", () => {
  const conflict = (revision: number, expected?: number) => {
    try {
      requireRolloutRevision(KEY, revision, expected);
    } catch (thrown) {
      return (thrown as PromptdError).message;
    }
    return undefined;
  };
  expect(conflict(7)).toBeUndefined();
  expect(conflict(7, 7)).toBeUndefined();
  expect(conflict(0, 0)).toBeUndefined();
  expect(conflict(7, 6)).toContain("has a rollout of revision 7, not revision 6");
  expect(conflict(7, 0)).toContain("not none");
  expect(conflict(0, 7)).toContain("has no rollout, not revision 7");
});
