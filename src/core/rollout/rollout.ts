/** A rollout: the callers of one label of a prompt, split between arms by their user id. */

import type { Selector } from "../prompt.ts";
import { bucketOf } from "./bucket.ts";
import {
  ALL_CONTROL,
  armAt,
  type BucketMove,
  type BucketTable,
  CONTROL,
  movesBetween,
  type Weights,
} from "./table.ts";

/** Only what is running or paused splits anybody; the others have ended. */
export const ROLLOUT_STATES = ["running", "paused", "promoted", "aborted"] as const;

export type RolloutState = (typeof ROLLOUT_STATES)[number];

/** A side of a rollout. The control arm is not among them: it is the label itself. */
export interface Arm {
  name: string;
  /** Where its callers are sent. A label is followed by its pointer only, never through its own rollout. */
  target: Selector;
  /** How many of the 10,000 buckets: hundredths of a percent. */
  weight: number;
}

export interface Rollout {
  /** The prompt. */
  name: string;
  label: string;
  state: RolloutState;
  /** Stands before the user id in what is hashed. The same from a rollout's beginning to its end. */
  salt: string;
  arms: readonly Arm[];
  /** The arm of a user whom no split decides about, by user id. */
  overrides: ReadonlyMap<string, string>;
  /** Which buckets each arm has; as many as its weight. */
  table: BucketTable;
  /** Of a promoted one: the arm that the label was moved to. */
  promotedArm?: string;
}

/** A rollout as it stands, with its last change. */
export interface StandingRollout extends Rollout {
  /** Number of that change. */
  revision: number;
  actor: string;
  reason: string;
  changedAt: Date;
}

/** What the history keeps of a change of a rollout; nothing stands where there was none or is none. */
export interface RolloutChange {
  label: string;
  previous?: RolloutOutline;
  current?: RolloutOutline;
}

export interface RolloutOutline {
  state: RolloutState;
  arms: readonly Arm[];
  /** How many users it names. */
  overrides: number;
  promotedArm?: string;
}

/** The arm that a user is given, and why. */
export interface Assignment {
  /** An arm's name, or `control`. */
  arm: string;
  /** Of a split only. */
  bucket: number | undefined;
  /** `label`: no user id, or a rollout that has ended. */
  reason: "split" | "override" | "label";
}

/** What another rollout would change. */
export interface Preview {
  movedBuckets: number;
  moves: BucketMove[];
  users: { userId: string; before: Assignment; after: Assignment }[];
}

/** What the history keeps of a rollout. */
export function outlineOf({ state, arms, overrides, promotedArm }: Rollout): RolloutOutline {
  return {
    state,
    arms,
    overrides: overrides.size,
    ...(promotedArm !== undefined && { promotedArm }),
  };
}

export function hasEnded({ state }: Pick<Rollout, "state">): boolean {
  return state === "promoted" || state === "aborted";
}

/**
 * Which arm a user is given. This is the hot path, and allocates nothing where
 * the caller has an assignment to write `into`.
 *
 * @param userId empty: nobody in particular
 */
export function assign(
  rollout: Rollout,
  userId: string,
  into: Assignment = { arm: CONTROL, bucket: undefined, reason: "label" },
): Assignment {
  into.arm = CONTROL;
  into.bucket = undefined;
  into.reason = "label";
  if (userId === "" || hasEnded(rollout)) return into;
  const override = rollout.overrides.get(userId);
  if (override !== undefined) {
    into.arm = override;
    into.reason = "override";
  } else {
    into.bucket = bucketOf(rollout.salt, userId);
    into.arm = armAt(rollout.table, into.bucket);
    into.reason = "split";
  }
  return into;
}

/** What `allocate` makes a table for. */
export function weightsOfArms(arms: readonly Arm[]): Weights {
  return new Map(arms.map(({ name, weight }) => [name, weight]));
}

/** Where the callers of an arm are sent: those of control, and of an arm that is not there, to the label. */
export function targetOf({ arms, label }: Rollout, arm: string): Selector {
  return arms.find(({ name }) => name === arm)?.target ?? { label };
}

/**
 * Who would see another arm. Buckets are counted as if nobody had an override.
 *
 * @param before absent: no rollout yet
 * @param after has the same salt, or `before` has ended
 */
export function preview(
  before: Rollout | undefined,
  after: Rollout,
  userIds: readonly string[],
): Preview {
  const moves = movesBetween(tableOf(before), tableOf(after));
  return {
    movedBuckets: moves.reduce((sum, { buckets }) => sum + buckets, 0),
    moves,
    users: userIds.map((userId) => ({
      userId,
      before: before === undefined ? assign(after, "") : assign(before, userId),
      after: assign(after, userId),
    })),
  };
}

/** Which buckets each arm has now. */
export function tableOf(rollout: Rollout | undefined): BucketTable {
  return rollout === undefined || hasEnded(rollout) ? ALL_CONTROL : rollout.table;
}
