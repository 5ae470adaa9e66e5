import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BUCKETS } from "./bucket.ts";
import {
  ALL_CONTROL,
  allocate,
  armAt,
  type BucketTable,
  isTable,
  movesBetween,
  type Weights,
  weightsOf,
} from "./table.ts";

const ARMS = Array.from("abcdefghijklmno");

/** Some arms, each with the distance between two cuts through all the buckets. */
const weightTables: fc.Arbitrary<Weights> = fc
  .tuple(
    fc.shuffledSubarray(ARMS),
    fc.array(fc.nat(BUCKETS), { minLength: ARMS.length, maxLength: ARMS.length }),
  )
  .map(([arms, cuts]) => {
    const ends = cuts.slice(0, arms.length).sort((a, b) => a - b);
    return new Map(arms.map((arm, index) => [arm, (ends[index] ?? 0) - (ends[index - 1] ?? 0)]));
  });

/** Goes through tables of weights one after another, from everybody in control. */
function forEachStep(
  check: (before: BucketTable, weights: Weights, after: BucketTable) => void,
): void {
  const property = fc.property(fc.array(weightTables, { maxLength: 30 }), (sequence) => {
    let table = ALL_CONTROL;
    for (const weights of sequence) {
      const next = allocate(table, weights);
      check(table, weights, next);
      table = next;
    }
  });
  fc.assert(property, { seed: 20_260_415, numRuns: 200 });
}

function gains(before: Weights, after: Weights): Map<string, number> {
  const arms = [...new Set([...before.keys(), ...after.keys()])];
  return new Map(arms.map((arm) => [arm, (after.get(arm) ?? 0) - (before.get(arm) ?? 0)]));
}

const movedBuckets = (before: BucketTable, after: BucketTable) =>
  movesBetween(before, after).reduce((sum, { buckets }) => sum + buckets, 0);

/** A weight of nothing is the same as none. */
const withoutNothing = (weights: Weights) => new Map([...weights].filter(([, n]) => n > 0));

describe("over random sequences of weights", () => {
  it("gives each arm as many buckets as its weight, and control the rest", () => {
    forEachStep((_, weights, after) => {
      expect(isTable(after)).toBe(true);
      const rest = BUCKETS - [...weights.values()].reduce((sum, n) => sum + n, 0);
      const expected = withoutNothing(new Map([...weights, ["control", rest]]));
      expect(weightsOf(after)).toEqual(expected);
    });
  });

  it("lets nobody leave an arm that grows, and nobody come to one that shrinks", () => {
    forEachStep((before, _, after) => {
      const gain = gains(weightsOf(before), weightsOf(after));
      for (const { from, to } of movesBetween(before, after)) {
        expect(gain.get(from)).toBeLessThan(0);
        expect(gain.get(to)).toBeGreaterThan(0);
      }
    });
  });

  it("moves as many buckets as the growing arms gain", () => {
    forEachStep((before, _, after) => {
      let moved = 0;
      for (let bucket = 0; bucket < BUCKETS; bucket++) {
        if (armAt(before, bucket) !== armAt(after, bucket)) moved++;
      }
      const gain = [...gains(weightsOf(before), weightsOf(after)).values()];
      expect(moved).toBe(gain.reduce((sum, n) => sum + Math.max(0, n), 0));
      expect(movedBuckets(before, after)).toBe(moved);
    });
  });

  it("takes no heed of the order in which the arms are told", () => {
    forEachStep((before, weights, after) => {
      expect(allocate(before, new Map([...weights].reverse()))).toEqual(after);
    });
  });

  it("changes nothing where the weights stay", () => {
    forEachStep((_, weights, after) => {
      expect(allocate(after, weights)).toEqual(after);
    });
  });

  it("adds at most as many ranges as there are arms", () => {
    forEachStep((before, _, after) => {
      const arms = gains(weightsOf(before), weightsOf(after)).size;
      expect(after.length).toBeLessThanOrEqual(before.length + arms);
    });
  });
});

it("tells what the examples tell, one step after another", () => {
  const { steps } = JSON.parse(readFileSync("examples/bucketing/allocations.json", "utf8")) as {
    steps: { weights: Record<string, number>; table: [number, string][]; moved: number }[];
  };
  let table = ALL_CONTROL;
  for (const step of steps) {
    const next = allocate(table, new Map(Object.entries(step.weights)));
    expect(next).toEqual(step.table.map(([start, arm]) => ({ start, arm })));
    expect(movedBuckets(table, next)).toBe(step.moved);
    table = next;
  }
});

it("gives back in the order in which an arm alone has grown", () => {
  const grown = [500, 2500, 10_000].map((n) => allocate(ALL_CONTROL, new Map([["canary", n]])));
  const [small, medium, all] = grown as [BucketTable, BucketTable, BucketTable];
  expect(allocate(small, new Map([["canary", 2500]]))).toEqual(medium);
  expect(allocate(all, new Map([["canary", 500]]))).toEqual(small);
  expect(allocate(medium, new Map())).toEqual(ALL_CONTROL);
});

it("keeps the users of an arm together that gets another name", () => {
  const before = allocate(ALL_CONTROL, new Map(Object.entries({ a: 100, b: 200, c: 300 })));
  const after = allocate(before, new Map(Object.entries({ a: 100, z: 200, c: 300 })));
  expect(movesBetween(before, after)).toEqual([{ from: "b", to: "z", buckets: 200 }]);
});

it("gives to two arms what a third one loses", () => {
  const before = allocate(ALL_CONTROL, new Map(Object.entries({ a: 6000, b: 1000, c: 1000 })));
  const after = allocate(before, new Map(Object.entries({ a: 1000, b: 4000, c: 3000 })));
  expect(movesBetween(before, after)).toEqual([
    { from: "a", to: "b", buckets: 3000 },
    { from: "a", to: "c", buckets: 2000 },
  ]);
});

it("refuses more than all", () => {
  const weights = new Map(Object.entries({ a: 9000, b: 1001 }));
  expect(() => allocate(ALL_CONTROL, weights)).toThrow("1 above 10000");
});

it.each([
  ["no range", []],
  ["one that does not begin with 0", [[1, "a"]]],
  [
    "a range twice",
    [
      [0, "a"],
      [0, "b"],
    ],
  ],
  [
    "a wrong order",
    [
      [0, "a"],
      [9, "b"],
      [5, "c"],
    ],
  ],
  [
    "a range without buckets",
    [
      [0, "a"],
      [10_000, "b"],
    ],
  ],
  [
    "half a bucket",
    [
      [0, "a"],
      [0.5, "b"],
    ],
  ],
  [
    "what is no number",
    [
      [0, "a"],
      [Number.NaN, "b"],
    ],
  ],
  [
    "one arm in two ranges side by side",
    [
      [0, "a"],
      [5, "a"],
    ],
  ],
] as [string, [number, string][]][])("takes %s for no table", (_, ranges) => {
  expect(isTable(ranges.map(([start, arm]) => ({ start, arm })))).toBe(false);
});
