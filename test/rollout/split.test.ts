import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { bucketOf } from "../../src/core/rollout/bucket.ts";
import { assign } from "../../src/core/rollout/rollout.ts";
import { weightsOf } from "../../src/core/rollout/table.ts";
import { hashOfAssignments, rolloutOf, rollouts, userIds } from "./assignments.ts";

/** Each row and each column of a table of counts holds a tenth of all users. */
const TENTHS = 10;

/** Of chi-square with 81 degrees of freedom: passed once in 10,000 times by chance. */
const CHI_SQUARE_MOST = 135;

it("is the same in another process", () => {
  const program = ["--import", "tsx", "test/rollout/assignments.ts"];
  const other = execFileSync(process.execPath, program, { encoding: "utf8" });
  expect(other.trim()).toBe(hashOfAssignments());
});

it("gives each arm its share of 100,000 users within four standard deviations", () => {
  for (const rollout of rollouts(20)) {
    const counts = new Map<string, number>();
    for (const userId of userIds) {
      const { arm } = assign(rollout, userId);
      counts.set(arm, (counts.get(arm) ?? 0) + 1);
    }
    for (const [name, weight] of weightsOf(rollout.table)) {
      const share = weight / 10_000;
      const deviation = Math.sqrt(userIds.length * share * (1 - share));
      const off = Math.abs((counts.get(name) ?? 0) - userIds.length * share);
      expect(off, `${name} with ${weight}`).toBeLessThanOrEqual(4 * deviation);
    }
  }
});

it("lets no user leave an arm that grows, from step to step", () => {
  const steps = rollouts(20);
  steps.slice(1).forEach((after, index) => {
    const before = steps[index] ?? after;
    const weights = weightsOf(after.table);
    const stay = [...weightsOf(before.table)].filter(([arm, n]) => (weights.get(arm) ?? 0) >= n);
    const growing = new Set(stay.map(([arm]) => arm));
    const left = userIds.filter((userId) => {
      const { arm } = assign(before, userId);
      return growing.has(arm) && assign(after, userId).arm !== arm;
    });
    expect(left).toEqual([]);
  });
});

it.each([
  ["support/triage", "support/reply"],
  ["support/triage", "support/triage2"],
  ["p1", "p2"],
  ["", "a"],
])("decorrelates the salts %j and %j", (one, other) => {
  expect(chiSquare(one, other)).toBeLessThan(CHI_SQUARE_MOST);
});

it("tells salts apart that do correlate", () => {
  expect(chiSquare("p1", "p1")).toBeGreaterThan(CHI_SQUARE_MOST);
});

it("gives a canary other users under another salt, its share of them aside", () => {
  const canary = [{ name: "canary", target: { version: 2 }, weight: 1000 }];
  const [first, second] = [rolloutOf("may", canary), rolloutOf("june", canary)];
  const inFirst = userIds.filter((userId) => assign(first, userId).arm === "canary");
  const inBoth = inFirst.filter((userId) => assign(second, userId).arm === "canary");
  const deviation = Math.sqrt(inFirst.length * 0.1 * 0.9);
  expect(Math.abs(inBoth.length - inFirst.length * 0.1)).toBeLessThan(4 * deviation);
});

/** How far the buckets under two salts are from having nothing to do with each other. */
function chiSquare(one: string, other: string): number {
  const counts = new Array<number>(TENTHS * TENTHS).fill(0);
  const tenth = (salt: string, userId: string) => Math.floor(bucketOf(salt, userId) / 1000);
  for (const userId of userIds) {
    const cell = tenth(one, userId) * TENTHS + tenth(other, userId);
    counts[cell] = (counts[cell] ?? 0) + 1;
  }
  const row = (index: number) => counts.slice(index * TENTHS, (index + 1) * TENTHS).reduce(sum, 0);
  const column = (index: number) => counts.filter((_, i) => i % TENTHS === index).reduce(sum, 0);
  return counts.reduce((total, count, cell) => {
    const expected = (row(Math.floor(cell / TENTHS)) * column(cell % TENTHS)) / userIds.length;
    return total + (count - expected) ** 2 / expected;
  }, 0);
}

function sum(a: number, b: number): number {
  return a + b;
}
