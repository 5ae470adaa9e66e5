/** Rollouts for people. */

import { Resolution_Reason as Reason } from "../../gen/promptd/v1/prompt_pb.ts";
import { type Rollout, Rollout_State as State } from "../../gen/promptd/v1/rollout_pb.ts";
import type {
  Assignment,
  PreviewedUser,
  PreviewRolloutResponse,
} from "../../gen/promptd/v1/rollout_service_pb.ts";
import { BUCKETS } from "../core/rollout/bucket.ts";
import { CONTROL } from "../core/rollout/table.ts";
import { oneLine, table, timeText } from "./output.ts";
import { percentText } from "./percent.ts";
import { stateText } from "./rollout-options.ts";

/** Overrides that are shown; `--json` has all. */
const SHOWN = 20;

export function rolloutText(rollout: Rollout): string {
  const { name, label, salt } = rollout;
  return [
    `${name} at ${label}: ${stateLine(rollout)}\n`,
    armsTable(rollout),
    `salt: ${oneLine(salt)}\n`,
    lastChangeText(rollout),
    overridesText(rollout),
  ].join("");
}

/** Who moves, what the arms send their callers to, and what becomes of the users. */
export function previewText(preview: PreviewRolloutResponse): string {
  const rows = preview.arms.map((arm) => [
    arm.name,
    becomes(versionText(arm.versionBefore), versionText(arm.versionAfter)),
    becomes(percentText(arm.bucketsBefore), percentText(arm.bucketsAfter)),
  ]);
  const { users } = preview;
  return [
    movedText(preview),
    table(["ARM", "VERSION", "WEIGHT"], rows),
    users.length === 0 ? "" : `\n${usersTable(users)}`,
  ].join("");
}

/** `500 of 10000 buckets move: control -> canary 500 (5.00%)` */
export function movedText({ movedBuckets, moves }: PreviewRolloutResponse): string {
  if (movedBuckets === 0) return "no bucket moves\n";
  const each = moves.map(
    ({ fromArm, toArm, buckets }) => `${fromArm} -> ${toArm} ${buckets} (${percentText(buckets)})`,
  );
  return `${movedBuckets} of ${BUCKETS} buckets move: ${each.join(", ")}\n`;
}

/** What those that have ended have come to is told too. */
function stateLine({ state, promotedArm, label }: Rollout): string {
  switch (state) {
    case State.PAUSED:
      return "paused; it splits, and its weights stay as they are";
    case State.PROMOTED:
      return `promoted ${promotedArm}; everybody gets ${label}`;
    case State.ABORTED:
      return `aborted; everybody gets ${label}`;
    default:
      return stateText(state);
  }
}

function armsTable({ label, arms }: Rollout): string {
  const row = (name: string, target: string, weight: number) => [
    name,
    target,
    percentText(weight),
    String(weight),
  ];
  const taken = arms.reduce((sum, { weight }) => sum + weight, 0);
  return table(
    ["ARM", "SENDS TO", "WEIGHT", "BUCKETS"],
    [
      row(CONTROL, `label ${label}`, BUCKETS - taken),
      ...arms.map(({ name, target, weight }) =>
        row(name, `${target.case ?? "nowhere"} ${target.value ?? ""}`, weight),
      ),
    ],
  );
}

function overridesText({ overrides }: Rollout): string {
  const count = overrides.length;
  if (count === 0) return "overrides: none\n";
  const rows = overrides.slice(0, SHOWN).map(({ userId, arm }) => [userId, arm]);
  const more = count > SHOWN ? `and ${count - SHOWN} more, which --json shows\n` : "";
  return `overrides: ${count}\n${table(["USER", "ARM"], rows)}${more}`;
}

function lastChangeText({ revision, actor, updateTime, reason }: Rollout): string {
  const why = reason === "" ? "" : `: ${oneLine(reason)}`;
  return `revision ${revision} by ${oneLine(actor)} at ${timeText(updateTime)}${why}\n`;
}

function usersTable(users: readonly PreviewedUser[]): string {
  const rows = users.map(({ userId, before, after }) => [
    userId,
    assignmentText(before),
    assignmentText(after),
    reasonText(after),
    after?.bucket === undefined ? "" : String(after.bucket),
  ]);
  return table(["USER", "BEFORE", "AFTER", "REASON", "BUCKET"], rows);
}

function assignmentText(assignment: Assignment | undefined): string {
  const { arm = "", version = 0 } = assignment ?? {};
  return version === 0 ? `${arm} (gets ${CONTROL}'s)` : `${arm} (version ${version})`;
}

function reasonText(assignment: Assignment | undefined): string {
  switch (assignment?.reason) {
    case Reason.SPLIT:
      return "split";
    case Reason.OVERRIDE:
      return "override";
    default:
      return "label";
  }
}

function versionText(version: number): string {
  return version === 0 ? "(none)" : String(version);
}

/** `3 -> 4`, or `3` where nothing changes */
function becomes(before: string, after: string): string {
  return before === after ? after : `${before} -> ${after}`;
}
