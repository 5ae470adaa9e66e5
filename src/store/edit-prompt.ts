import { moved, previousMoves } from "../core/mutation-rules.ts";
import { requireAuthor } from "../core/policy.ts";
import type { Edit, LabelsSet } from "../core/ports.ts";
import type { LabelChange, LabelMove } from "../core/prompt.ts";
import type { ChangeDetail } from "./change-log.ts";
import { CompositionCheck } from "./composition-check.ts";
import { requireNotIncluded } from "./dependencies.ts";
import { heedLabelPolicies } from "./label-policies.ts";
import { moveLabels, plannedMoves } from "./labels.ts";
import { type Mutation, recordChange } from "./mutation.ts";
import { addPendingChange, findSamePendingChange } from "./pending-changes.ts";
import { requireExisting, requireVersions } from "./standing.ts";
import { replaceTags } from "./tags.ts";

/** Moves labels, or asks for approval where one of them needs it. @throws not_found, conflict, refused, forbidden */
export async function setLabels(
  mutation: Mutation,
  edit: Edit & { moves: readonly LabelMove[] },
): Promise<LabelsSet> {
  const { db, prompt } = mutation;
  const standing = await requireExisting(db, prompt, edit.expectedRevision);
  const targets = edit.moves.map(({ version }) => version).filter((version) => version !== 0);
  await requireVersions(db, prompt, targets);

  const labels = await plannedMoves(db, prompt, edit.moves);
  const moving = labels.filter(moved);
  const previous = previousMoves(labels);
  if (moving.length === 0) return { revision: standing.revision, previous };
  const [needsApproval] = await heedLabelPolicies(mutation, moving);
  if (needsApproval !== undefined) {
    requireAuthor(mutation.actor, needsApproval);
    const asked = { ...prompt, author: mutation.actor, moves: labels };
    const pending = await findSamePendingChange(db, asked);
    if (pending !== undefined) return { revision: standing.revision, previous, pending };
    return { ...(await requestLabels(mutation, labels, edit.reason)), previous };
  }
  return { revision: await applyLabels(mutation, moving, edit.reason), previous };
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
 * @throws refused where composition forbids it
 */
export async function applyLabels(
  mutation: Mutation,
  moving: readonly LabelChange[],
  reason: string,
  approval: Pick<ChangeDetail, "approver" | "approvalReason" | "pendingChangeId"> = {},
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
  return recordChange(mutation, "labels_set", reason, {
    versions: [],
    labels: moving,
    ...approval,
  });
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
