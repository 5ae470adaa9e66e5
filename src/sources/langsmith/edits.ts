/** Changes of a prompt that is there, but for new versions. */

import { PromptdError } from "../../core/errors.ts";
import { moved, previousMoves } from "../../core/mutation-rules.ts";
import { promptNotFound } from "../../core/not-found.ts";
import type { Edit, LabelEdit, LabelsSet } from "../../core/ports.ts";
import { LATEST_LABEL, type LabelMove } from "../../core/prompt.ts";
import { type Mutation, requireMovable } from "../mutation.ts";
import { type History, newestOf, placesOf, selected } from "./answers.ts";
import type { LangsmithApi } from "./api.ts";
import { plannedMoves, putBeside } from "./beside.ts";

/** What there is of a prompt that has a version. @throws not_found, unavailable */
export async function existing(api: LangsmithApi, name: string): Promise<History> {
  const history = await api.history(name);
  if (history === undefined || newestOf(history) === 0) throw promptNotFound({ name });
  return history;
}

/** @throws not_found, refused, forbidden, unavailable; the message tells which labels have moved all the same */
export async function setLabels(
  mutation: Mutation<LangsmithApi>,
  { name, moves, reason, rollouts = "abort" }: LabelEdit,
): Promise<Pick<LabelsSet, "previous">> {
  const history = await existing(mutation.api, name);
  for (const { version } of moves) if (version !== 0) selected(history, { version });
  const planned = plannedMoves(history, moves);
  const named = planned.map(({ label }) => label);
  // A promotion cannot wait for approval, whether or not its label stands there.
  const moving =
    typeof rollouts === "object" ? named : planned.filter(moved).map(({ label }) => label);
  await requireMovable(
    mutation,
    moving,
    named.filter((label) => !moving.includes(label)),
  );
  const change = { kind: "labels_set" as const, reason, versions: [], labels: [], rollouts };
  await putBeside(mutation, history, { planned }, change);
  return { previous: previousMoves(planned) };
}

/** @throws not_found, refused, unavailable */
export async function setTags(
  mutation: Mutation<LangsmithApi>,
  { name, tags, reason }: Edit & { tags: readonly string[] },
): Promise<{ previous: readonly string[] }> {
  const history = await existing(mutation.api, name);
  const change = { kind: "tags_set" as const, reason, versions: [], labels: [] };
  await putBeside(mutation, history, { planned: [], tags }, change);
  return { previous: history.repo.tags };
}

/** @throws not_found, refused unless all are meant, forbidden, unavailable */
export async function deleteVersions(
  mutation: Mutation<LangsmithApi>,
  { name, versions, reason }: Edit & { versions: readonly number[] | "all" },
): Promise<{ removed: LabelMove[] }> {
  const { api, done, send } = mutation;
  const history = await existing(api, name);
  const all = history.commits.map((_, index) => index + 1);
  const chosen = versions === "all" ? all : [...new Set(versions)];
  for (const version of chosen) selected(history, { version });
  if (chosen.length === 0) return { removed: [] };
  if (chosen.length < all.length) {
    const message = `LangSmith deletes a prompt with all its versions, and none of them alone; "${name}" has ${all.length}`;
    throw new PromptdError("refused", message);
  }
  const removed = [...placesOf(history)]
    .filter(([label]) => label !== LATEST_LABEL)
    .map(([label, version]) => ({ label, version }))
    .sort((a, b) => (a.label < b.label ? -1 : 1));
  await requireMovable(
    mutation,
    removed.map(({ label }) => label),
  );
  await send(() => api.removeRepo(name));
  const { tags } = history.repo;
  done.push({
    kind: "versions_deleted",
    reason,
    versions: all,
    labels: removed.map(({ label, version }) => ({ label, from: version, to: 0 })),
    ...(tags.length > 0 && { tags: { previous: tags, current: [] } }),
  });
  return { removed };
}
