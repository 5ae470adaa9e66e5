/** How a rollout is asked for, and what becomes of the one that is there. */

import { LATEST_LABEL } from "../prompt.ts";
import { LIMITS, Validator } from "../validate.ts";
import { BUCKETS } from "./bucket.ts";
import { type Arm, hasEnded, type Rollout, tableOf, weightsOfArms } from "./rollout.ts";
import { allocate, CONTROL, movesBetween } from "./table.ts";

interface Override {
  userId: string;
  arm: string;
}

/** The whole of what is asked for: what it does not name goes. */
export interface RolloutDefinition {
  /** The prompt. */
  name: string;
  label: string;
  state: "running" | "paused";
  /** Empty: that of the present rollout, or the prompt's name for a new one. */
  salt: string;
  arms: readonly Arm[];
  overrides: readonly Override[];
}

const ARM = /^[a-z0-9_\-.]+$/;

/**
 * The rollout that a definition makes of the present one, with the fewest users
 * moved. One that has ended is begun anew, with everybody in control.
 *
 * An arm is known by its name. Where only a name changes, the new arm gains what the
 * old one loses, so its users stay together.
 *
 * @throws invalid naming the fields
 */
export function define(definition: RolloutDefinition, present?: Rollout): Rollout {
  const { name, label, state, arms } = definition;
  const validator = new Validator();
  checkDefinition(definition, validator);
  validator.done();

  const ongoing = present === undefined || hasEnded(present) ? undefined : present;
  const salt = definition.salt || (ongoing?.salt ?? name);
  const table = allocate(tableOf(ongoing), weightsOfArms(arms));
  if (ongoing !== undefined) {
    // Another salt would give nearly everybody another bucket at once.
    const same = `expected ${JSON.stringify(ongoing.salt)} as it was; abort the rollout to begin one with another salt`;
    validator.require(salt === ongoing.salt, "definition.salt", same);
    const frozen = state === "paused" && movesBetween(ongoing.table, table).length > 0;
    validator.require(
      !frozen,
      "state",
      "PAUSED keeps the split; expected RUNNING with new weights",
    );
    validator.done();
  }
  const overrides = new Map(definition.overrides.map(({ userId, arm }) => [userId, arm]));
  return { name, label, state, salt, arms, overrides, table };
}

/** Notes what breaks a documented rule; whether its versions and labels exist is the caller's to tell. */
export function checkDefinition(
  { name, label, salt, arms, overrides }: Omit<RolloutDefinition, "state">,
  validator: Validator,
): void {
  validator.name(name);
  validator.label(label, "label");
  validator.require(label !== LATEST_LABEL, "label", "latest is the newest version for everybody");
  validator.salt(salt, "definition.salt");
  checkArms(arms, validator);
  if (!validator.count(overrides.length, LIMITS.overrides, "definition.overrides")) return;
  const bytes = overrides.reduce((sum, { userId }) => sum + Buffer.byteLength(userId), 0);
  const most = `expected user ids of at most ${LIMITS.overridesBytes} bytes together`;
  validator.require(bytes <= LIMITS.overridesBytes, "definition.overrides", most);
  const names = new Set([CONTROL, ...arms.map((arm) => arm.name)]);
  overrides.forEach(({ userId, arm }, index) => {
    const field = `definition.overrides[${index}]`;
    validator.require(userId !== "", `${field}.user_id`, "must not be empty");
    validator.userId(userId, `${field}.user_id`);
    validator.require(names.has(arm), `${field}.arm`, `expected one of ${[...names].join(", ")}`);
  });
  const users = new Set(overrides.map(({ userId }) => userId));
  validator.require(
    users.size === overrides.length,
    "definition.overrides",
    "expected each user id once",
  );
}

function checkArms(arms: readonly Arm[], validator: Validator): void {
  validator.require(arms.length > 0, "definition.arms", "expected at least 1 beside control");
  if (!validator.count(arms.length, LIMITS.arms, "definition.arms")) return;
  arms.forEach(({ name, target, weight }, index) => {
    const field = `definition.arms[${index}]`;
    const named = ARM.test(name) && name.length <= LIMITS.labelCharacters;
    const pattern = `expected a name of 1 to ${LIMITS.labelCharacters} characters out of a-z 0-9 _ - .`;
    validator.require(named, `${field}.name`, pattern);
    validator.require(name !== CONTROL, `${field}.name`, "control is the label itself");
    if ("label" in target) validator.label(target.label, `${field}.label`);
    else validator.version(target.version, `${field}.version`);
    const weighs = Number.isInteger(weight) && weight >= 0 && weight <= BUCKETS;
    const range = `expected 0 to ${BUCKETS} hundredths of a percent`;
    validator.require(weighs, `${field}.weight`, range);
  });
  const names = new Set(arms.map(({ name }) => name));
  validator.require(names.size === arms.length, "definition.arms", "expected each name once");
  const sum = arms.reduce((total, { weight }) => total + weight, 0);
  const most = `expected weights of at most ${BUCKETS} together, found ${sum}`;
  validator.require(sum <= BUCKETS, "definition.arms", most);
}
