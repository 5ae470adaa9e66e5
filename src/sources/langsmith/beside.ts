/** What stands beside versions, and is put there by a request for each: labels and tags. */

import { PromptdError } from "../../core/errors.ts";
import { moved } from "../../core/mutation-rules.ts";
import type { LabelChange, LabelMove } from "../../core/prompt.ts";
import { LATEST_LABEL } from "../../core/prompt.ts";
import type { SourceChange } from "../../core/source-journal.ts";
import type { Mutation } from "../mutation.ts";
import { type History, placesOf } from "./answers.ts";
import type { LangsmithApi } from "./api.ts";

/** Labels and tags that are asked for. */
export interface Beside {
  /** Where all labels that are named stand and shall go. */
  planned: readonly LabelChange[];
  tags?: readonly string[] | undefined;
}

/** Where each label stands and shall go, in the order asked; `latest`, which nobody moves, is left out. */
export function plannedMoves(
  history: History | undefined,
  moves: readonly LabelMove[],
): LabelChange[] {
  const places = placesOf(history);
  return moves
    .filter(({ label }) => label !== LATEST_LABEL)
    .map(({ label, version }) => ({ label, from: places.get(label) ?? 0, to: version }));
}

/**
 * Puts labels and tags beside versions that are there. Where a request fails, the error and the
 * history tell which were put before.
 *
 * @param change what the history will tell of, with what was done already
 * @throws refused, unavailable
 */
export async function putBeside(
  { api, done, send }: Mutation<LangsmithApi>,
  history: History,
  { planned, tags }: Beside,
  change: SourceChange,
): Promise<void> {
  const labels: LabelChange[] = [];
  const unmoved = planned.filter((each) => !moved(each)).map(({ label }) => label);
  const tagged = replaced(history.repo.tags, tags);
  try {
    for (const move of planned.filter(moved)) {
      await send(() => moveLabel(api, history, move));
      labels.push(move);
    }
    if (tagged !== undefined) {
      await send(() => api.setTags(history.repo.repo_handle, tagged.current));
      change.tags = tagged;
    }
    change.unmoved = unmoved;
  } catch (thrown) {
    throw partly(PromptdError.from(thrown), change, labels);
  } finally {
    const told = { ...change, labels, kind: kindOf(change, labels) };
    // Before what may have been done, of which nobody knows.
    if (told.kind !== "rollout_set" || (told.unmoved ?? []).length > 0) done.unshift(told);
  }
}

function moveLabel(api: LangsmithApi, { repo, commits }: History, move: LabelChange) {
  const { label, from, to } = move;
  if (to === 0) return api.removeTag(repo.repo_handle, label);
  return api.putTag(repo.repo_handle, label, commits[to - 1]?.id ?? "", from !== 0);
}

/** Undefined where the tags are those asked for, in their order. */
function replaced(previous: readonly string[], tags: readonly string[] | undefined) {
  const current = [...new Set(tags ?? previous)];
  return JSON.stringify(previous) === JSON.stringify(current) ? undefined : { previous, current };
}

function kindOf(
  { kind, tags }: SourceChange,
  labels: readonly LabelChange[],
): SourceChange["kind"] {
  if (kind === "version_created") return kind;
  if (labels.length > 0) return "labels_set";
  return tags === undefined ? "rollout_set" : "tags_set";
}

function partly(
  error: PromptdError,
  { versions }: SourceChange,
  labels: readonly LabelChange[],
): PromptdError {
  const created = versions.map((version) => `version ${version} was created`);
  const moves = labels.map(({ label, from, to }) => `${label} ${from || "(none)"} -> ${to}`);
  if (moves.length > 0) created.push(`these labels were moved: ${moves.join(", ")}`);
  if (created.length === 0) return error;
  const message = `${error.message}; before that ${created.join(", and ")}`;
  return new PromptdError(error.code, message, { cause: error.cause });
}
