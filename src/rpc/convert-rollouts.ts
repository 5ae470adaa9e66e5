/** Between the contract's messages of rollouts and the domain. */

import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type RolloutChange as RolloutChangeMessage,
  RolloutChangeSchema,
} from "../../gen/promptd/v1/change_service_pb.ts";
import {
  type WatchedRollout,
  WatchedRolloutSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import {
  type RolloutArm,
  RolloutArmSchema,
  type Rollout as RolloutMessage,
  type RolloutOverride,
  RolloutSchema,
  Rollout_State as WireState,
} from "../../gen/promptd/v1/rollout_pb.ts";
import { PromptdError } from "../core/errors.ts";
import type { Arm, RolloutChange, RolloutState, StandingRollout } from "../core/rollout/rollout.ts";

const WIRE_STATES: Record<RolloutState, WireState> = {
  running: WireState.RUNNING,
  paused: WireState.PAUSED,
  promoted: WireState.PROMOTED,
  aborted: WireState.ABORTED,
};

/** Undefined where none is told. @throws invalid for one that is not known */
export function fromRolloutState(state: WireState, field: string): RolloutState | undefined {
  if (state === WireState.UNSPECIFIED) return undefined;
  const known = Object.entries(WIRE_STATES).find(([, wire]) => wire === state)?.[0];
  if (known !== undefined) return known as RolloutState;
  const description = "expected RUNNING, PAUSED, PROMOTED or ABORTED";
  throw PromptdError.invalid({ field, description });
}

/** @throws invalid for an arm without a target */
export function fromArms(arms: readonly RolloutArm[], field: string): Arm[] {
  return arms.map(({ name, target, weight }, index) => {
    if (target.case === "version") return { name, target: { version: target.value }, weight };
    if (target.case === "label") return { name, target: { label: target.value }, weight };
    const description = "expected a version or a label";
    throw PromptdError.invalid({ field: `${field}[${index}]`, description });
  });
}

export function fromOverrides(overrides: readonly RolloutOverride[]) {
  return overrides.map(({ userId, arm }) => ({ userId, arm }));
}

export function toRollout(rollout: StandingRollout): RolloutMessage {
  return create(RolloutSchema, {
    name: rollout.name,
    label: rollout.label,
    state: WIRE_STATES[rollout.state],
    salt: rollout.salt,
    arms: toArms(rollout.arms),
    overrides: [...rollout.overrides].map(([userId, arm]) => ({ userId, arm })),
    promotedArm: rollout.promotedArm ?? "",
    revision: BigInt(rollout.revision),
    actor: rollout.actor,
    updateTime: timestampFromDate(rollout.changedAt),
    reason: rollout.reason,
  });
}

/** Without what its arms' callers are given. */
export function toWatchedRollout(rollout: StandingRollout): WatchedRollout {
  return create(WatchedRolloutSchema, { rollout: toRollout(rollout), buckets: [...rollout.table] });
}

export function toRolloutChange({ label, previous, current }: RolloutChange): RolloutChangeMessage {
  return create(RolloutChangeSchema, {
    label,
    ...(previous && {
      previousState: WIRE_STATES[previous.state],
      previousArms: toArms(previous.arms),
      previousOverrides: previous.overrides,
    }),
    ...(current && {
      state: WIRE_STATES[current.state],
      arms: toArms(current.arms),
      overrides: current.overrides,
      promotedArm: current.promotedArm ?? "",
    }),
  });
}

function toArms(arms: readonly Arm[]): RolloutArm[] {
  return arms.map(({ name, target, weight }) =>
    create(RolloutArmSchema, {
      name,
      weight,
      target:
        "label" in target
          ? { case: "label", value: target.label }
          : { case: "version", value: target.version },
    }),
  );
}
