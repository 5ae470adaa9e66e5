/** Options that say what a rollout shall be, and how their values are read. */

import { create } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError } from "commander";
import {
  type RolloutArm,
  RolloutArmSchema,
  Rollout_State as State,
} from "../../gen/promptd/v1/rollout_pb.ts";
import { DEFAULT_LABEL } from "../core/prompt.ts";
import { ROLLOUT_STATES, type RolloutState } from "../core/rollout/rollout.ts";
import { repeatable, type ServiceOptions, versionNumber } from "./options.ts";
import { hundredths } from "./percent.ts";

/** Which rollout of a prompt is meant. */
export interface RolloutOptions extends ServiceOptions {
  label: string;
}

/** What becomes of it; what is not named stays. */
export interface EditOptions extends RolloutOptions {
  arm?: RolloutArm[];
  weight?: Weight[];
  removeArm?: string[];
  override?: Override[];
  removeOverride?: string[];
  salt?: string;
  paused?: boolean;
  expectedRevision?: number;
}

type Weight = [arm: string | undefined, weight: number];

type Override = [userId: string, arm: string];

export function withLabelOption(command: Command): Command {
  return command.option("--label <label>", "whose callers are split", DEFAULT_LABEL);
}

export function withEditOptions(command: Command): Command {
  return withLabelOption(command)
    .option(
      "--arm <name=version:percent>",
      "an arm that is added, or takes the place of the one with this name: canary=4:5%, or by a label canary=label:staging:5%; repeatable",
      repeatable(arm),
    )
    .option(
      "--weight <[arm=]percent>",
      "an arm's new weight: canary=25%, or 25% where there is one arm; repeatable",
      repeatable(weight),
    )
    .option(
      "--remove-arm <name>",
      "an arm that ends, and the overrides that name it; repeatable",
      repeatable(String),
    )
    .option(
      "--override <user=arm>",
      "a user who is given an arm, or control, whatever the weights are; repeatable",
      repeatable(override),
    )
    .option(
      "--remove-override <user>",
      "a user who is split like others again; repeatable",
      repeatable(String),
    )
    .option(
      "--salt <text>",
      "stands before the user id in what is hashed; only of a new rollout (default: the prompt's name)",
    )
    .option("--paused", "pause it: it goes on splitting, and takes no other weights");
}

/** `NAME=VERSION:PERCENT` or `NAME=label:LABEL:PERCENT` */
function arm(text: string): RolloutArm {
  const [, name, target = "", label, percent = ""] =
    /^([^=:]+)=(label:([^:]+)|[^:]*):([^:]*)$/.exec(text) ?? [];
  if (name === undefined) {
    throw new InvalidArgumentError(
      "expected NAME=VERSION:PERCENT or NAME=label:LABEL:PERCENT, such as canary=4:5%",
    );
  }
  return create(RolloutArmSchema, {
    name,
    target:
      label === undefined
        ? { case: "version", value: versionNumber()(target) }
        : { case: "label", value: label },
    weight: hundredths(percent),
  });
}

/** `ARM=PERCENT`, or `PERCENT` */
function weight(text: string): Weight {
  const [, name, percent = ""] = /^(?:([^=]+)=)?(.*)$/s.exec(text) ?? [];
  return [name, hundredths(percent)];
}

/** `USER=ARM`. User ids may hold a `=`, names of arms do not. */
function override(text: string): Override {
  const at = text.lastIndexOf("=");
  if (at > 0 && at < text.length - 1) return [text.slice(0, at), text.slice(at + 1)];
  throw new InvalidArgumentError("expected USER=ARM");
}

/** As they are typed. */
export const STATE_WORDS = ROLLOUT_STATES.join(", ");

export function rolloutState(text: string): State {
  const known = ROLLOUT_STATES.find((state) => state === text);
  if (known !== undefined) return wireState(known);
  throw new InvalidArgumentError(`expected ${STATE_WORDS}`);
}

export function stateText(state: State): string {
  return ROLLOUT_STATES.find((known) => wireState(known) === state) ?? `state ${state}`;
}

function wireState(state: RolloutState): State {
  return State[state.toUpperCase() as Uppercase<RolloutState>];
}
