import type { Rollout, RolloutArm, RolloutOverride } from "../../gen/promptd/v1/rollout_pb.ts";
import { PromptdError } from "../core/errors.ts";
import { isOngoing } from "./rollout-changes.ts";
import type { EditOptions } from "./rollout-options.ts";

/** As a request holds it. */
interface Definition {
  salt: string;
  arms: RolloutArm[];
  overrides: Override[];
}

type Override = Pick<RolloutOverride, "userId" | "arm">;

/**
 * The definition that options make of a rollout: what they do not name stays. Of one
 * that has ended nothing does, because the next begins with everybody in control.
 *
 * @throws invalid for an arm or a user that is not there, or is named twice
 */
export function edited(options: EditOptions, standing: Rollout | undefined): Definition {
  const ongoing = standing !== undefined && isOngoing(standing.state) ? standing : undefined;
  return {
    salt: options.salt ?? "",
    arms: editedArms(options, ongoing?.arms ?? []),
    overrides: editedOverrides(options, ongoing?.overrides ?? []),
  };
}

/** Whether options name anything that could change. */
export function isEdit(options: EditOptions): boolean {
  const { salt, arm, weight, removeArm, override, removeOverride, paused } = options;
  const all = [salt, arm, weight, removeArm, override, removeOverride, paused];
  return all.some((option) => option !== undefined);
}

function editedArms(
  { arm = [], weight = [], removeArm = [] }: EditOptions,
  standing: readonly RolloutArm[],
): RolloutArm[] {
  const arms = new Map(standing.map((each) => [each.name, each]));
  for (const name of removeArm) {
    armOf(arms, name, "--remove-arm");
    arms.delete(name);
  }
  for (const each of arm) arms.set(each.name, each);
  const weighed = weight.map(([name, value]) => {
    const found = armOf(arms, name, "--weight");
    arms.set(found.name, { ...found, weight: value });
    return found.name;
  });
  onlyOnce("arm", [...removeArm, ...arm.map(({ name }) => name), ...weighed]);
  return [...arms.values()];
}

function editedOverrides(
  { override = [], removeOverride = [], removeArm = [] }: EditOptions,
  standing: readonly Override[],
): Override[] {
  const users = new Set(standing.map(({ userId }) => userId));
  for (const userId of removeOverride) {
    if (!users.has(userId)) throw invalid("--remove-override", `${userId} has no override`);
  }
  const given = override.map(([userId, arm]) => ({ userId, arm }));
  const named = [...removeOverride, ...given.map(({ userId }) => userId)];
  onlyOnce("user", named);
  const kept = standing.filter(
    ({ userId, arm }) => !named.includes(userId) && !removeArm.includes(arm),
  );
  return [...kept, ...given];
}

/** @param name undefined: the only one */
function armOf(
  arms: ReadonlyMap<string, RolloutArm>,
  name: string | undefined,
  option: string,
): RolloutArm {
  if (arms.size === 0) {
    throw invalid(option, "no rollout runs here; --arm NAME=VERSION:PERCENT begins one");
  }
  const found = name === undefined ? arms.size === 1 && [...arms.values()][0] : arms.get(name);
  if (found) return found;
  const names = [...arms.keys()].join(", ");
  const problem = name === undefined ? "which arm is missing" : `there is no arm ${name}`;
  throw invalid(option, `${problem}; expected one of ${names}`);
}

/** What is said twice may mean two things. */
function onlyOnce(what: string, names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) throw new PromptdError("invalid", `${what} ${twice} is named twice`);
}

function invalid(field: string, description: string): PromptdError {
  return PromptdError.invalid({ field, description });
}
