import { PromptdError } from "../core/errors.ts";
import { moved } from "../core/mutation-rules.ts";
import { listed } from "../core/not-found.ts";
import { type PendingChange, requireApprover } from "../core/policy.ts";
import type { Decision } from "../core/ports.ts";
import type { LabelChange } from "../core/prompt.ts";
import { applyLabels } from "./edit-prompt.ts";
import { heedLabelPolicies } from "./label-policies.ts";
import { plannedMoves } from "./labels.ts";
import { type Mutation, recordChange } from "./mutation.ts";
import { removePendingChange } from "./pending-changes.ts";
import { endingRollouts } from "./rollout-rows.ts";
import { requireExisting, requireVersions } from "./standing.ts";

/**
 * Moves the labels of a pending change and aborts their rollouts, as its author would now.
 *
 * @param mutation the approver's, of the prompt
 * @throws not_found, conflict, refused, forbidden
 */
export async function approve(
  mutation: Mutation,
  change: PendingChange,
  reason: string,
): Promise<Decision> {
  const { db, prompt, actor } = mutation;
  requireApprover(actor, change);
  await requireExisting(db, prompt, undefined);
  const moves = change.moves.map(({ label, to }) => ({ label, version: to }));
  const labels = await plannedMoves(db, prompt, moves);
  requireUnmoved(labels, change);
  const targets = moves.map(({ version }) => version).filter((version) => version !== 0);
  await requireVersions(db, prompt, targets);

  const moving = labels.filter(moved);
  await heedLabelPolicies(mutation, moving);
  const approval = {
    approver: actor,
    ...(reason !== "" && { approvalReason: reason }),
    pendingChangeId: change.id,
    rollouts: await endingRollouts(
      db,
      prompt,
      labels.map(({ label }) => label),
    ),
  };
  const author = { ...mutation, actor: change.author };
  const revision = await applyLabels(author, moving, change.reason, approval);
  await removePendingChange(db, change);
  return { change, revision };
}

/** Takes a pending change away. */
export async function reject(
  mutation: Mutation,
  change: PendingChange,
  reason: string,
): Promise<Decision> {
  await removePendingChange(mutation.db, change);
  const revision = await recordChange(mutation, "request_rejected", reason, {
    versions: [],
    labels: [],
    pendingChangeId: change.id,
    requested: change.moves.filter(moved),
  });
  return { change, revision };
}

/** @throws conflict where a label does not stand where it stood when its move was asked for */
function requireUnmoved(labels: readonly LabelChange[], { id, moves }: PendingChange): void {
  const stood = new Map(moves.map(({ label, from }) => [label, from]));
  const others = labels.filter(({ label, from }) => stood.get(label) !== from);
  if (others.length === 0) return;
  const at = (version = 0) => (version === 0 ? "(none)" : String(version));
  const how = others.map(({ label, from }) => `${label} ${at(stood.get(label))} -> ${at(from)}`);
  const message = `labels have moved since change ${id} was asked for: ${listed(how)}; reject it and ask again`;
  throw new PromptdError("conflict", message);
}
