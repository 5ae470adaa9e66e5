/** A rollout as JSON, for a column of a database or a file. */

import { PromptdError } from "../errors.ts";
import type { Selector } from "../prompt.ts";
import { Validator } from "../validate.ts";
import { checkDefinition } from "./definition.ts";
import { type Arm, ROLLOUT_STATES, type Rollout, weightsOfArms } from "./rollout.ts";
import { allocate, isTable, movesBetween } from "./table.ts";

/** The contract of `docs/bucketing.md` by which the stored buckets were given out. */
const BUCKETING = "flagd-v2";

export function rolloutToJson(rollout: Rollout): string {
  const { name, label, state, salt, arms, overrides, table, promotedArm } = rollout;
  return JSON.stringify({
    bucketing: BUCKETING,
    name,
    label,
    state,
    salt,
    arms: arms.map(({ name, target, weight }) => ({ name, ...target, weight })),
    overrides: [...overrides],
    table: table.map(({ start, arm }) => [start, arm]),
    promotedArm,
  });
}

/** @throws internal where it is not what a sound rollout was made into */
export function rolloutFromJson(json: string): Rollout {
  try {
    const rollout = read(JSON.parse(json));
    check(rollout);
    return rollout;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PromptdError("internal", `a stored rollout cannot be read: ${why}`, { cause });
  }
}

function read(value: unknown): Rollout {
  const stored = fields(value);
  expect(stored.bucketing === BUCKETING, `bucketing ${BUCKETING}`);
  const state = ROLLOUT_STATES.find((known) => known === stored.state);
  expect(state !== undefined, "a known state");
  return {
    name: text(stored.name),
    label: text(stored.label),
    state,
    salt: text(stored.salt),
    arms: list(stored.arms).map(readArm),
    overrides: new Map(
      list(stored.overrides)
        .map(list)
        .map(([id, arm]) => [text(id), text(arm)]),
    ),
    table: list(stored.table)
      .map(list)
      .map(([start, arm]) => ({ start: number(start), arm: text(arm) })),
    ...(stored.promotedArm !== undefined && { promotedArm: text(stored.promotedArm) }),
  };
}

function readArm(value: unknown): Arm {
  const { name, label, version, weight } = fields(value);
  const target: Selector =
    label === undefined ? { version: number(version) } : { label: text(label) };
  return { name: text(name), target, weight: number(weight) };
}

function check({ overrides, arms, table, ...rest }: Rollout): void {
  const validator = new Validator();
  const listed = [...overrides].map(([userId, arm]) => ({ userId, arm }));
  checkDefinition({ ...rest, arms, overrides: listed }, validator);
  validator.done();
  expect(isTable(table), "ranges that give each bucket to one arm");
  const allocated = allocate(table, weightsOfArms(arms));
  expect(movesBetween(table, allocated).length === 0, "as many buckets for each arm as its weight");
}

function fields(value: unknown): Record<string, unknown> {
  expect(typeof value === "object" && value !== null, "an object");
  return value as Record<string, unknown>;
}

function list(value: unknown): unknown[] {
  expect(Array.isArray(value), "a list");
  return value;
}

function text(value: unknown): string {
  expect(typeof value === "string", "a text");
  return value;
}

function number(value: unknown): number {
  expect(typeof value === "number", "a number");
  return value;
}

function expect(holds: boolean, what: string): asserts holds {
  if (!holds) throw new TypeError(`expected ${what}`);
}
