import pLimit from "p-limit";
import { PromptdError } from "../../core/errors.ts";
import { promptNotFound } from "../../core/not-found.ts";
import type { Edit } from "../../core/ports.ts";
import { LATEST_LABEL, type LabelMove } from "../../core/prompt.ts";
import type { SourceChange } from "../../core/source-journal.ts";
import { type Mutation, requireMovable } from "../mutation.ts";
import { CONCURRENT } from "../requests.ts";
import { type Entry, hashOf } from "./answers.ts";
import type { LangfuseApi } from "./api.ts";
import { placesOf } from "./places.ts";
import { requireVersions } from "./set-labels.ts";

/** Each is read, and then deleted by a request of its own. */
const MAX_VERSIONS = 100;

/** @throws not_found, refused, forbidden, unavailable; the message tells which versions are gone all the same */
export async function deleteVersions(
  mutation: Mutation<LangfuseApi>,
  { name, versions, reason }: Edit & { versions: readonly number[] | "all" },
): Promise<{ removed: LabelMove[] }> {
  const { api, done, send } = mutation;
  const entry = await api.entry(name);
  if (entry === undefined) throw promptNotFound({ name });
  const chosen = [...new Set(versions === "all" ? entry.versions : versions)].sort((a, b) => a - b);
  requireVersions(entry, chosen);
  if (chosen.length === 0) return { removed: [] };
  if (versions !== "all" && chosen.length > MAX_VERSIONS) {
    const message = `Langfuse's API deletes one version at a time; ask for at most ${MAX_VERSIONS} at once, or for all`;
    throw new PromptdError("refused", message);
  }
  const { labels, hashes } = await whatGoes(mutation, entry, chosen);
  await requireMovable(
    mutation,
    labels.map(({ label }) => label),
  );
  if (versions === "all") {
    await send(() => api.remove(name));
    done.push(deleted(chosen, labels, hashes, reason));
    return { removed: labels };
  }
  const gone: number[] = [];
  try {
    for (const version of chosen) {
      await send(() => api.remove(name, version));
      gone.push(version);
    }
  } catch (thrown) {
    throw partly(PromptdError.from(thrown), gone);
  } finally {
    const lost = labels.filter(({ version }) => gone.includes(version));
    if (gone.length > 0) done.unshift(deleted(gone, lost, hashes, reason));
  }
  return { removed: labels };
}

/** The labels that go with versions, in order, and the versions' content hashes unless they are too many. */
async function whatGoes(
  { api }: Mutation<LangfuseApi>,
  entry: Entry,
  chosen: readonly number[],
): Promise<{ labels: LabelMove[]; hashes: ReadonlyMap<number, string> }> {
  const movable = (label: string) => label !== LATEST_LABEL;
  if (chosen.length > MAX_VERSIONS) {
    const places = await placesOf(api, entry, entry.labels.filter(movable));
    places.delete(LATEST_LABEL);
    const labels = [...places].map(([label, version]) => ({ label, version }));
    return { labels: labels.sort(byLabel), hashes: new Map() };
  }
  const loaded = await pLimit(CONCURRENT).map(chosen, (version) =>
    api.get(entry.name, { version }),
  );
  const labels = loaded.flatMap(({ version, labels }) =>
    labels.filter(movable).map((label) => ({ label, version })),
  );
  const hashes = new Map(loaded.map((each) => [each.version, hashOf(each)]));
  return { labels: labels.sort(byLabel), hashes };
}

function byLabel(a: LabelMove, b: LabelMove): number {
  return a.label < b.label ? -1 : 1;
}

function deleted(
  versions: readonly number[],
  labels: readonly LabelMove[],
  hashes: ReadonlyMap<number, string>,
  reason: string,
): SourceChange {
  const known = versions.flatMap((version) => hashes.get(version) ?? []);
  return {
    kind: "versions_deleted",
    reason,
    versions,
    ...(known.length === versions.length && { contentHashes: known }),
    labels: labels.map(({ label, version }) => ({ label, from: version, to: 0 })),
  };
}

function partly(error: PromptdError, gone: readonly number[]): PromptdError {
  if (gone.length === 0) return error;
  const message = `${error.message}; before that these versions were deleted: ${gone.join(", ")}`;
  return new PromptdError(error.code, message, { cause: error.cause });
}
