/** What somebody wants of a rollout, and what becomes of the one that is there. */

import { PromptdError } from "../errors.ts";
import { define, type RolloutDefinition } from "./definition.ts";
import type { RolloutKey } from "./ports.ts";
import { type Arm, hasEnded, type Rollout, type RolloutState } from "./rollout.ts";

/** A change that is wanted; what is absent stays as it is. */
export interface RolloutIntent extends RolloutKey {
  state?: RolloutState;
  definition?: Pick<RolloutDefinition, "salt" | "arms" | "overrides">;
  /** Of `promoted`: which arm; it need not be told where there is one. */
  promotedArm?: string;
}

/**
 * The rollout that an intent makes of the present one.
 *
 * @throws invalid naming the fields; not_found and refused, where the present one cannot become that
 */
export function intended(intent: RolloutIntent, present: Rollout | undefined): Rollout {
  const { name, label, state, definition } = intent;
  const ends = state === "promoted" || state === "aborted";
  const misplaced =
    ends && definition !== undefined
      ? { field: "definition", description: "a rollout that ends stays as it is; expected none" }
      : state !== "promoted" && intent.promotedArm !== undefined
        ? { field: "promoted_arm", description: "expected none unless the state is PROMOTED" }
        : undefined;
  if (misplaced !== undefined) throw PromptdError.invalid(misplaced);

  if (definition !== undefined && !ends) {
    const kept = present?.state === "paused" ? "paused" : "running";
    return define({ name, label, state: state ?? kept, ...definition }, present);
  }
  if (state === undefined) {
    const description = "expected a definition, a state or both";
    throw PromptdError.invalid({ field: "definition", description });
  }
  if (present === undefined) throw rolloutNotFound(intent);
  // Who aborts twice has what was wanted.
  if (present.state === "aborted" && state === "aborted") return present;
  if (hasEnded(present)) {
    const message = `the rollout of ${place(intent)} has ended (${present.state}); it is begun anew by a definition`;
    throw new PromptdError("refused", message);
  }
  if (state !== "promoted") return { ...present, state };
  return { ...present, state, promotedArm: armToPromote(present, intent.promotedArm).name };
}

function armToPromote({ arms }: Rollout, named: string | undefined): Arm {
  const [only] = arms;
  const arm = named === undefined ? only : arms.find(({ name }) => name === named);
  if (arm !== undefined && (named !== undefined || arms.length === 1)) return arm;
  const description = `expected one of ${arms.map(({ name }) => name).join(", ")}`;
  throw PromptdError.invalid({ field: "promoted_arm", description });
}

export function rolloutNotFound(key: RolloutKey): PromptdError {
  return new PromptdError("not_found", `${place(key)} has no rollout`);
}

/** @throws conflict where the rollout has another revision than the caller has seen; 0: there is none */
export function requireRolloutRevision(
  key: RolloutKey,
  revision: number,
  expected: number | undefined,
): void {
  if (expected === undefined || expected === revision) return;
  const found = revision === 0 ? "no rollout" : `a rollout of revision ${revision}`;
  const hoped = expected === 0 ? "none" : `revision ${expected}`;
  const message = `${place(key)} has ${found}, not ${hoped}: it was changed since`;
  throw new PromptdError("conflict", message);
}

function place({ name, label }: RolloutKey): string {
  return `label "${label}" of prompt "${name}"`;
}
