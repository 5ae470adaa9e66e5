import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import {
  RolloutArmSchema,
  RolloutSchema,
  Rollout_State as State,
} from "../../gen/promptd/v1/rollout_pb.ts";
import { edited } from "./rollout-edit.ts";
import type { EditOptions } from "./rollout-options.ts";

const arm = (name: string, version: number, weight: number) =>
  create(RolloutArmSchema, { name, target: { case: "version", value: version }, weight });

const rollout = (state: State) =>
  create(RolloutSchema, {
    state,
    salt: "s",
    arms: [arm("canary", 4, 500), arm("long", 5, 1000)],
    overrides: [
      { userId: "ann", arm: "canary" },
      { userId: "bob", arm: "long" },
      { userId: "cyd", arm: "control" },
    ],
  });

/** Arms and overrides in a word each. */
function told(options: Partial<EditOptions>, state: State = State.RUNNING) {
  const definition = edited({ label: "production", timeout: 1, ...options }, rollout(state));
  const arms = definition.arms.map(
    ({ name, target, weight }) => `${name}=${target.value}:${weight}`,
  );
  const overrides = definition.overrides.map(({ userId, arm }) => `${userId}=${arm}`);
  return [...arms, ...overrides].join(" ");
}

it.each<[what: string, Partial<EditOptions>, after: string]>([
  ["nothing", {}, "canary=4:500 long=5:1000 ann=canary bob=long cyd=control"],
  [
    "a weight",
    { weight: [["canary", 2500]] },
    "canary=4:2500 long=5:1000 ann=canary bob=long cyd=control",
  ],
  [
    "an arm that is there",
    { arm: [arm("canary", 7, 100)] },
    "canary=7:100 long=5:1000 ann=canary bob=long cyd=control",
  ],
  [
    "an arm that is not there, and another's weight",
    { arm: [arm("brief", 7, 100)], weight: [["long", 0]] },
    "canary=4:500 long=5:0 brief=7:100 ann=canary bob=long cyd=control",
  ],
  [
    "an arm that ends, with those who were named to it",
    { removeArm: ["long"] },
    "canary=4:500 ann=canary cyd=control",
  ],
  [
    "the weight of the arm that is left",
    { removeArm: ["long"], weight: [[undefined, 600]] },
    "canary=4:600 ann=canary cyd=control",
  ],
  [
    "users",
    {
      override: [
        ["bob", "canary"],
        ["dee", "long"],
      ],
      removeOverride: ["ann"],
    },
    "canary=4:500 long=5:1000 cyd=control bob=canary dee=long",
  ],
])("changes %s, and nothing else", (_, options, after) => {
  expect(told(options)).toBe(after);
  expect(told(options, State.PAUSED)).toBe(after);
});

it.each<[what: string, Partial<EditOptions>, problem: string]>([
  [
    "an arm that is not there",
    { weight: [["brief", 1]] },
    "there is no arm brief; expected one of canary, long",
  ],
  ["an arm that is not there", { removeArm: ["brief"] }, "there is no arm brief"],
  [
    "no arm of several",
    { weight: [[undefined, 1]] },
    "which arm is missing; expected one of canary, long",
  ],
  [
    "an arm twice",
    {
      weight: [
        ["canary", 1],
        ["canary", 2],
      ],
    },
    "arm canary is named twice",
  ],
  [
    "an arm twice",
    { arm: [arm("canary", 1, 1)], weight: [["canary", 2]] },
    "arm canary is named twice",
  ],
  [
    "an arm twice",
    { removeArm: ["canary"], arm: [arm("canary", 1, 1)] },
    "arm canary is named twice",
  ],
  [
    "a user twice",
    { override: [["ann", "long"]], removeOverride: ["ann"] },
    "user ann is named twice",
  ],
  ["a user without an override", { removeOverride: ["dee"] }, "dee has no override"],
])("refuses %s", (_, options, problem) => {
  expect(() => told(options)).toThrow(problem);
});

it.each([State.PROMOTED, State.ABORTED])("takes nothing over from one in state %d", (state) => {
  expect(told({ arm: [arm("brief", 7, 100)] }, state)).toBe("brief=7:100");
  expect(() => told({ weight: [["canary", 1]] }, state)).toThrow(
    "--arm NAME=VERSION:PERCENT begins one",
  );
});
