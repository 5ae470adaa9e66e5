import { PromptdError } from "../core/errors.ts";
import { moved, previousMoves } from "../core/mutation-rules.ts";
import { requireAuthor } from "../core/policy.ts";
import type { Edit, LabelEdit, LabelsSet } from "../core/ports.ts";
import type { LabelChange } from "../core/prompt.ts";
import type { ChangeDetail } from "./change-log.ts";
import { CompositionCheck } from "./composition-check.ts";
import { requireNotIncluded } from "./dependencies.ts";
import { heedLabelPolicies } from "./label-policies.ts";
import { moveLabels, plannedMoves } from "./labels.ts";
import { type Mutation, recordChange } from "./mutation.ts";
import { addPendingChange, findSamePendingChange } from "./pending-changes.ts";
import { abortedLabels, endingRollouts, requireOngoing } from "./rollout-rows.ts";
import { requireExisting, requireVersions } from "./standing.ts";
import { replaceTags } from "./tags.ts";

/**
 * Moves labels and ends their rollouts, or asks for approval where one of the labels needs it.
 *
 * @throws not_found, conflict, refused, forbidden
 */
export async function setLabels(mutation: Mutation, edit: LabelEdit): Promise<LabelsSet> {
  const { db, prompt } = mutation;
  const { rollouts: fate = "abort", reason } = edit;
  const standing = await requireExisting(db, prompt, edit.expectedRevision);
  const targets = edit.moves.map(({ version }) => version).filter((version) => version !== 0);
  await requireVersions(db, prompt, targets);

  const labels = await plannedMoves(db, prompt, edit.moves);
  const moving = labels.filter(moved);
  const named = labels.map(({ label }) => label);
  if (typeof fate === "object") await requireOngoing(db, prompt, { ...fate, labels: named });
  const rollouts = await endingRollouts(db, prompt, named, fate);
  const previous = previousMoves(labels);
  const answer = { revision: standing.revision, previous, abortedRollouts: [] };
  if (moving.length === 0 && rollouts.length === 0) return answer;
  const approval = await heedLabelPolicies(mutation, [...moving, ...rollouts]);
  if (typeof fate === "object") refuseApproval(approval, "a promotion cannot wait for that");
  const needsApproval = approval.find((label) => moving.some((move) => move.label === label));
  if (needsApproval !== undefined) {
    if (fate === "keep") refuseApproval(approval, "once it is given, rollouts are not kept");
    requireAuthor(mutation.actor, needsApproval);
    const asked = { ...prompt, author: mutation.actor, moves: labels };
    const pending = await findSamePendingChange(db, asked);
    if (pending !== undefined) return { ...answer, pending };
    return { ...answer, ...(await requestLabels(mutation, labels, reason)) };
  }
  const revision = await applyLabels(mutation, moving, reason, { rollouts });
  return { ...answer, revision, abortedRollouts: abortedLabels(rollouts) };
}

/** @throws refused */
function refuseApproval([label]: readonly string[], why: string): void {
  if (label === undefined) return;
  const message = `moving label "${label}" needs the approval of a second key, and ${why}`;
  throw new PromptdError("refused", message);
}

/** Keeps moves until another key approves them. @throws refused */
async function requestLabels(
  mutation: Mutation,
  moves: readonly LabelChange[],
  reason: string,
): Promise<Pick<LabelsSet, "revision" | "pending">> {
  const { db, prompt, actor, now, newId } = mutation;
  const what = { id: newId(), ...prompt, moves, reason };
  const pending = { ...what, author: actor, createdAt: new Date(now) };
  await addPendingChange(db, pending);
  const revision = await recordChange(mutation, "labels_requested", reason, {
    versions: [],
    labels: [],
    pendingChangeId: pending.id,
    requested: moves.filter(moved),
  });
  return { revision, pending };
}

/**
 * Moves labels to versions that exist, and tells the prompt's new revision.
 *
 * @param more for the change; where no label moves, it has rollouts
 *
 * @throws refused where composition forbids it
 */
export async function applyLabels(
  mutation: Mutation,
  moving: readonly LabelChange[],
  reason: string,
  more: Pick<ChangeDetail, "approver" | "approvalReason" | "pendingChangeId" | "rollouts">,
): Promise<number> {
  const { db, prompt } = mutation;
  await moveLabels(db, prompt, moving);
  const removed = moving.filter(({ to }) => to === 0);
  await requireNotIncluded(mutation, { labels: removed.map(({ label }) => label) });
  const put = moving.filter(({ to }) => to !== 0);
  await new CompositionCheck(mutation).require(
    prompt.name,
    put.map(({ to }) => to),
    put.map(({ label }) => label),
  );
  const kind = moving.length > 0 ? "labels_set" : "rollout_set";
  return recordChange(mutation, kind, reason, { versions: [], labels: moving, ...more });
}

/** @throws not_found, conflict */
export async function setTags(
  mutation: Mutation,
  edit: Edit & { tags: readonly string[] },
): Promise<{ revision: number; previous: readonly string[] }> {
  const { db, prompt } = mutation;
  const standing = await requireExisting(db, prompt, edit.expectedRevision);
  const tags = await replaceTags(db, prompt, edit.tags);
  if (tags === undefined) return { revision: standing.revision, previous: [...new Set(edit.tags)] };
  const detail = { versions: [], labels: [], tags };
  return {
    revision: await recordChange(mutation, "tags_set", edit.reason, detail),
    previous: tags.previous,
  };
}
