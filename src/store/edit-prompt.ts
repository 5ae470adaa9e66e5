import type { Edit } from "../core/ports.ts";
import type { LabelMove } from "../core/prompt.ts";
import { CompositionCheck } from "./composition-check.ts";
import { requireNotIncluded } from "./dependencies.ts";
import { moved, moveLabels, previousMoves } from "./labels.ts";
import { type Mutation, recordChange } from "./mutation.ts";
import { requireExisting, requireVersions } from "./standing.ts";
import { replaceTags } from "./tags.ts";

/** @throws not_found, conflict, refused */
export async function setLabels(
  mutation: Mutation,
  edit: Edit & { moves: readonly LabelMove[] },
): Promise<{ revision: number; previous: LabelMove[] }> {
  const { db, prompt } = mutation;
  const standing = await requireExisting(db, prompt, edit.expectedRevision);
  const targets = edit.moves.map(({ version }) => version).filter((version) => version !== 0);
  await requireVersions(db, prompt, targets);

  const labels = await moveLabels(db, prompt, edit.moves);
  const moving = labels.filter(moved);
  const previous = previousMoves(labels);
  if (moving.length === 0) return { revision: standing.revision, previous };

  const removed = moving.filter(({ to }) => to === 0);
  await requireNotIncluded(db, prompt, { labels: removed.map(({ label }) => label) });
  const put = moving.filter(({ to }) => to !== 0);
  await new CompositionCheck(db, prompt.project).require(
    prompt.name,
    put.map(({ to }) => to),
    put.map(({ label }) => label),
  );
  const revision = await recordChange(mutation, "labels_set", edit.reason, {
    versions: [],
    labels: moving,
  });
  return { revision, previous };
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
