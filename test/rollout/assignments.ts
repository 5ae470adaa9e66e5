/**
 * Which arm each of many users has in a rollout whose weights change at random.
 * Run as a program it prints a hash of it all, for two processes to compare.
 */

import { createHash } from "node:crypto";
import fc from "fast-check";
import { define } from "../../src/core/rollout/definition.ts";
import { type Arm, assign, type Rollout } from "../../src/core/rollout/rollout.ts";

const SEED = 20_260_415;
const USERS = 100_000;

const NAMES = Array.from({ length: 15 }, (_, index) => `arm-${index}`);

/** Arms that have the distances between cuts through all the buckets as weights. */
const arms: fc.Arbitrary<Arm[]> = fc
  .tuple(
    fc.shuffledSubarray(NAMES, { minLength: 1 }),
    fc.array(fc.nat(10_000), { minLength: NAMES.length, maxLength: NAMES.length }),
  )
  .map(([names, cuts]) => {
    const ends = cuts.slice(0, names.length).sort((a, b) => a - b);
    return names.map((name, index) => {
      const weight = (ends[index] ?? 0) - (ends[index - 1] ?? 0);
      return { name, target: { version: index + 1 }, weight };
    });
  });

/** The same in each process. */
export const userIds: readonly string[] = fc.sample(fc.uuid(), { seed: SEED, numRuns: USERS });

/** A rollout after each change of its weights. */
export function rollouts(count: number): Rollout[] {
  const made: Rollout[] = [];
  for (const each of fc.sample(arms, { seed: SEED, numRuns: count })) {
    made.push(rolloutOf("support/triage", each, made.at(-1)));
  }
  return made;
}

export function rolloutOf(salt: string, arms: readonly Arm[], present?: Rollout): Rollout {
  const name = "support/triage";
  const label = "production";
  return define({ name, label, state: "running", salt, arms, overrides: [] }, present);
}

export function hashOfAssignments(): string {
  const hash = createHash("sha256");
  for (const rollout of rollouts(10)) {
    for (const userId of userIds) {
      const { arm, bucket } = assign(rollout, userId);
      hash.update(`${userId} ${arm} ${bucket}\n`);
    }
  }
  return hash.digest("hex");
}

if (process.argv[1] === import.meta.filename) console.log(hashOfAssignments());
