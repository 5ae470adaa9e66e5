/** Which arm each bucket belongs to, and how that changes with the weights. */

import { BUCKETS } from "./bucket.ts";

/** The arm that has what no other takes: the rollout's label itself. */
export const CONTROL = "control";

/** The buckets from `start` up to the next range's belong to the arm. */
export interface BucketRange {
  readonly start: number;
  readonly arm: string;
}

/** In order of `start`, the first of which is 0; neighbours belong to different arms. */
export type BucketTable = readonly BucketRange[];

/** How many buckets an arm has, by its name. Each is a hundredth of a percent of all users. */
export type Weights = ReadonlyMap<string, number>;

/** Buckets that belong to another arm than before. */
export interface BucketMove {
  from: string;
  to: string;
  buckets: number;
}

/** Where a rollout begins. */
export const ALL_CONTROL: BucketTable = [{ start: 0, arm: CONTROL }];

/** The arm of a bucket, 0 to 9999. */
export function armAt(table: BucketTable, bucket: number): string {
  let low = 0;
  let high = table.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((table[middle] as BucketRange).start <= bucket) low = middle;
    else high = middle - 1;
  }
  return (table[low] as BucketRange).arm;
}

/**
 * The table for new weights that moves the fewest buckets: an arm that grows loses
 * none, one that shrinks gets none, so as many move as the growing arms gain.
 * Which ones these are is specified in `docs/bucketing.md`. Each arm adds at most
 * one range to the table.
 *
 * @param weights of the arms beside control
 * @throws RangeError where they are more than all
 */
export function allocate(table: BucketTable, weights: Weights): BucketTable {
  const had = weightsOf(table);
  const shall = withControl(weights);
  // Control gives its lowest buckets and the others their highest, so that an arm
  // that shrinks again keeps the users that it had first.
  const givesFirst = new Map([[CONTROL, weightIn(had, CONTROL) - weightIn(shall, CONTROL)]]);
  const keeps = new Map(shall);
  const gains = [...shall]
    .map(([arm, buckets]) => ({ arm, left: buckets - weightIn(had, arm) }))
    .filter(({ left }) => left > 0)
    .sort((a, b) => inOrder(a.arm, b.arm));

  const next: BucketRange[] = [];
  let start = 0;
  function add(arm: string, buckets: number): void {
    if (buckets === 0) return;
    if (next.at(-1)?.arm !== arm) next.push({ start, arm });
    start += buckets;
  }
  function give(buckets: number): void {
    const end = start + buckets;
    for (const gain of gains) {
      const taken = Math.min(end - start, gain.left);
      add(gain.arm, taken);
      gain.left -= taken;
    }
  }
  for (const { arm, buckets } of lengths(table)) {
    const first = take(givesFirst, arm, buckets);
    const kept = take(keeps, arm, buckets - first);
    give(first);
    add(arm, kept);
    give(buckets - first - kept);
  }
  return next;
}

/** How many buckets each arm has, control among them. */
export function weightsOf(table: BucketTable): Weights {
  const weights = new Map<string, number>();
  for (const { arm, buckets } of lengths(table)) weights.set(arm, weightIn(weights, arm) + buckets);
  return weights;
}

/** What moves from one table to another, in order of the arms' names, control last. */
export function movesBetween(before: BucketTable, after: BucketTable): BucketMove[] {
  const moves = new Map<string, BucketMove>();
  const starts = [...new Set([...before, ...after].map(({ start }) => start))].sort(
    (a, b) => a - b,
  );
  starts.forEach((start, index) => {
    const from = armAt(before, start);
    const to = armAt(after, start);
    if (from === to) return;
    const move = moves.get(`${from} ${to}`) ?? { from, to, buckets: 0 };
    move.buckets += (starts[index + 1] ?? BUCKETS) - start;
    moves.set(`${from} ${to}`, move);
  });
  return [...moves.values()].sort((a, b) => inOrder(a.from, b.from) || inOrder(a.to, b.to));
}

/** Whether the ranges are a table: each bucket belongs to one arm, told in one way. */
export function isTable(ranges: readonly BucketRange[]): boolean {
  return (
    ranges[0]?.start === 0 &&
    ranges.every(({ start, arm }, index) => {
      const end = ranges[index + 1]?.start ?? BUCKETS;
      return Number.isInteger(start) && start < end && arm !== ranges[index + 1]?.arm;
    })
  );
}

/** Of the arms' names, control last. */
function inOrder(a: string, b: string): number {
  if (a === b) return 0;
  if (a === CONTROL) return 1;
  if (b === CONTROL) return -1;
  return a < b ? -1 : 1;
}

function withControl(weights: Weights): Weights {
  const left = [...weights.values()].reduce((rest, buckets) => rest - buckets, BUCKETS);
  if (left < 0) throw new RangeError(`weights are ${-left} above ${BUCKETS}`);
  return new Map([...weights, [CONTROL, left]]);
}

function weightIn(weights: Weights, arm: string): number {
  return weights.get(arm) ?? 0;
}

/** Takes up to `most` of what an arm has left, and tells how much. */
function take(left: Map<string, number>, arm: string, most: number): number {
  const has = weightIn(left, arm);
  const taken = Math.max(0, Math.min(has, most));
  left.set(arm, has - taken);
  return taken;
}

/** The ranges with their lengths. */
function lengths(table: BucketTable): { arm: string; buckets: number }[] {
  return table.map(({ start, arm }, index) => ({
    arm,
    buckets: (table[index + 1]?.start ?? BUCKETS) - start,
  }));
}
