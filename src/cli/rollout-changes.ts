import type { RolloutChange } from "../../gen/promptd/v1/change_service_pb.ts";
import { type RolloutArm, Rollout_State as State } from "../../gen/promptd/v1/rollout_pb.ts";

/** What became of rollouts: `rollout production begun: canary 5% of version 4` */
export function rolloutsText(changes: readonly RolloutChange[]): string {
  return changes.map(rolloutText).join("; ");
}

/** `rollout of production aborted`, a line for each label. */
export function abortedText(labels: readonly string[]): string {
  return labels.map((label) => `rollout of ${label} aborted\n`).join("");
}

function rolloutText(change: RolloutChange): string {
  const { label, state, arms, previousArms, promotedArm } = change;
  const what = `rollout ${label} ${outcome(change)}`;
  if (state === State.PROMOTED) return `${what} to ${promotedArm}`;
  const split = armsText(arms);
  const same = isOngoing(change.previousState) && split === armsText(previousArms);
  return isOngoing(state) && !same ? `${what}: ${split}` : what;
}

function outcome({ previousState, state }: RolloutChange): string {
  switch (state) {
    case State.UNSPECIFIED:
      return "deleted";
    case State.ABORTED:
      return "aborted";
    case State.PROMOTED:
      return "promoted";
    default:
      if (!isOngoing(previousState)) return "begun";
      if (state === previousState) return "changed";
      return state === State.PAUSED ? "paused" : "resumed";
  }
}

export function isOngoing(state: State): boolean {
  return state === State.RUNNING || state === State.PAUSED;
}

/** `canary 5% of version 4, long 10% of label staging`; weights are hundredths of a percent. */
export function armsText(arms: readonly RolloutArm[]): string {
  return arms
    .map(({ name, target, weight }) => `${name} ${weight / 100}% of ${target.case} ${target.value}`)
    .join(", ");
}
