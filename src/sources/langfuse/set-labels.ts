import { PromptdError } from "../../core/errors.ts";
import { moved, previousMoves } from "../../core/mutation-rules.ts";
import { promptNotFound } from "../../core/not-found.ts";
import type { LabelEdit, LabelsSet, RolloutFate } from "../../core/ports.ts";
import { LATEST_LABEL, type LabelChange, type LabelMove } from "../../core/prompt.ts";
import { type Mutation, requireMovable } from "../mutation.ts";
import { type Entry, selectionMissing } from "./answers.ts";
import type { LangfuseApi } from "./api.ts";
import { placesOf } from "./places.ts";

/** @throws not_found, refused, forbidden, unavailable; the message tells which labels have moved all the same */
export async function setLabels(
  mutation: Mutation<LangfuseApi>,
  { name, moves, reason, rollouts }: LabelEdit,
): Promise<Pick<LabelsSet, "previous">> {
  const entry = await mutation.api.entry(name);
  if (entry === undefined) throw promptNotFound({ name });
  requireVersions(
    entry,
    moves.map(({ version }) => version).filter((version) => version !== 0),
  );
  const changes = await plannedMoves(mutation, entry, moves);
  await moveLabels(mutation, entry, changes, reason, rollouts);
  return { previous: previousMoves(changes) };
}

/** @throws not_found for the first version that does not exist */
export function requireVersions(entry: Entry, versions: readonly number[]): void {
  const missing = versions.find((version) => !entry.versions.includes(version));
  if (missing !== undefined) throw selectionMissing(entry, { version: missing });
}

/** Where each label stands and shall go, in the order asked; `latest`, which Langfuse keeps, is left out. */
export async function plannedMoves(
  { api }: Mutation<LangfuseApi>,
  entry: Entry | undefined,
  moves: readonly LabelMove[],
): Promise<LabelChange[]> {
  const movable = moves.filter(({ label }) => label !== LATEST_LABEL);
  const places = await placesOf(
    api,
    entry,
    movable.map(({ label }) => label),
  );
  return movable.map(({ label, version }) => ({
    label,
    from: places.get(label) ?? 0,
    to: version,
  }));
}

/**
 * Langfuse moves the labels of one version at a time: where a later one fails, the earlier ones have moved,
 * and their rollouts alone have ended. Where none need move, the rollouts end all the same.
 *
 * @param planned where all labels that are named stand and shall go
 * @throws refused, forbidden, unavailable
 */
export async function moveLabels(
  mutation: Mutation<LangfuseApi>,
  { name }: Pick<Entry, "name">,
  planned: readonly LabelChange[],
  reason: string,
  rollouts: RolloutFate = "abort",
): Promise<void> {
  const moving = planned.filter(moved);
  const unmoved = planned.filter((change) => !moved(change)).map(({ label }) => label);
  const names = moving.map(({ label }) => label);
  // A promotion cannot wait for approval, whether or not its label stands there.
  if (typeof rollouts === "object") await requireMovable(mutation, [...names, ...unmoved]);
  else await requireMovable(mutation, names, unmoved);
  const removed = moving.find(({ to }) => to === 0);
  if (removed !== undefined) {
    const message = `label "${removed.label}" cannot be taken away: Langfuse's API only puts labels on versions; move it to another one, or remove it in Langfuse`;
    throw new PromptdError("refused", message);
  }
  const { api, done, send } = mutation;
  const labels: LabelChange[] = [];
  const change = { kind: "labels_set" as const, reason, versions: [], labels, rollouts };
  try {
    for (const version of new Set(moving.map(({ to }) => to))) {
      const together = moving.filter(({ to }) => to === version);
      const names = together.map(({ label }) => label);
      await send(() => api.label(name, version, names));
      labels.push(...together);
    }
  } catch (thrown) {
    if (labels.length > 0) done.unshift(change);
    throw partly(PromptdError.from(thrown), labels);
  }
  if (labels.length > 0) done.push({ ...change, unmoved });
  else if (unmoved.length > 0) done.push({ ...change, kind: "rollout_set", unmoved });
}

function partly(error: PromptdError, labels: readonly LabelChange[]): PromptdError {
  if (labels.length === 0) return error;
  const how = labels.map(({ label, from, to }) => `${label} ${from || "(none)"} -> ${to}`);
  const message = `${error.message}; before that these labels were moved: ${how.join(", ")}`;
  return new PromptdError(error.code, message, { cause: error.cause });
}
