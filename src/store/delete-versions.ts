import type { Edit, VersionsDeleted } from "../core/ports.ts";
import { LATEST_LABEL, type LabelMove } from "../core/prompt.ts";
import { CompositionCheck } from "./composition-check.ts";
import type { Connection } from "./database.ts";
import { requireNotIncluded } from "./dependencies.ts";
import { requireNoApproval } from "./label-policies.ts";
import { setLatest } from "./labels.ts";
import { type Mutation, recordChange } from "./mutation.ts";
import type { PromptKey } from "./prompt-key.ts";
import { abortedLabels, endingRollouts } from "./rollout-rows.ts";
import { requireExisting, requireVersions } from "./standing.ts";
import { replaceTags } from "./tags.ts";

/** With more, the change that tells of a deletion would outgrow what clients read at once. */
const MAX_HASHES = 10_000;

/** @throws not_found, conflict, refused, forbidden */
export async function deleteVersions(
  mutation: Mutation,
  edit: Edit & { versions: readonly number[] | "all" },
): Promise<VersionsDeleted> {
  const { db, prompt } = mutation;
  const standing = await requireExisting(db, prompt, edit.expectedRevision);
  const chosen = await chosenVersions(db, prompt, edit.versions);
  if (chosen.length === 0) {
    return { revision: standing.revision, removed: [], abortedRollouts: [] };
  }
  const versions = chosen.map(({ number }) => number);

  const labels = await removeRows(db, prompt, edit.versions === "all" ? "all" : versions);
  const newest = await newestVersion(db, prompt);
  const tags = newest === undefined ? await replaceTags(db, prompt, []) : undefined;
  if (newest !== undefined && newest !== standing.newest) await setLatest(db, prompt, newest);

  const removed = labels.filter(({ label }) => label !== LATEST_LABEL);
  await requireNoApproval(mutation, removed, "move it off the version first, by SetLabels");
  const vanished = newest === undefined ? labels : removed;
  await requireNotIncluded(mutation, { labels: vanished.map(({ label }) => label), versions });
  if (newest !== undefined && newest !== standing.newest) {
    await new CompositionCheck(mutation).require(prompt.name, [newest], [LATEST_LABEL]);
  }
  const gone = removed.map(({ label }) => label);
  const rollouts = await endingRollouts(db, prompt, gone);
  const revision = await recordChange(mutation, "versions_deleted", edit.reason, {
    versions,
    ...(chosen.length <= MAX_HASHES && { contentHashes: chosen.map((row) => row.content_hash) }),
    labels: removed.map(({ label, version }) => ({ label, from: version, to: 0 })),
    ...(tags && { tags }),
    rollouts,
  });
  return { revision, removed, abortedRollouts: abortedLabels(rollouts) };
}

/** The versions, each once, in order of number. @throws not_found */
async function chosenVersions(
  db: Connection,
  prompt: PromptKey,
  versions: readonly number[] | "all",
): Promise<{ number: number; content_hash: string }[]> {
  const some = versions === "all" ? undefined : versions;
  if (some?.length === 0) return [];
  if (some !== undefined) await requireVersions(db, prompt, some);
  return db
    .selectFrom("versions")
    .select(["number", "content_hash"])
    .where("project", "=", prompt.project)
    .where("name", "=", prompt.name)
    .$if(some !== undefined, (query) => query.where("number", "in", some ?? []))
    .orderBy("number")
    .execute();
}

/** Deletes versions and what hangs on them; tells the labels that did, in order of name. */
async function removeRows(
  db: Connection,
  { project, name }: PromptKey,
  versions: readonly number[] | "all",
): Promise<LabelMove[]> {
  // All of them may be more than a statement takes parameters.
  const some = versions === "all" ? undefined : versions;
  const labels = await db
    .deleteFrom("labels")
    .where("project", "=", project)
    .where("name", "=", name)
    .$if(some !== undefined, (query) => query.where("version", "in", some ?? []))
    .returning(["label", "version"])
    .execute();
  await db
    .deleteFrom("dependencies")
    .where("project", "=", project)
    .where("name", "=", name)
    .$if(some !== undefined, (query) => query.where("version", "in", some ?? []))
    .execute();
  await db
    .deleteFrom("calls")
    .where("project", "=", project)
    .where("name", "=", name)
    .$if(some !== undefined, (query) => query.where("version", "in", some ?? []))
    .execute();
  const { numDeletedRows } = await db
    .deleteFrom("versions")
    .where("project", "=", project)
    .where("name", "=", name)
    .$if(some !== undefined, (query) => query.where("number", "in", some ?? []))
    .executeTakeFirstOrThrow();
  await db
    .updateTable("prompts")
    .set((set) => ({ version_count: set("version_count", "-", Number(numDeletedRows)) }))
    .where("project", "=", project)
    .where("name", "=", name)
    .execute();
  return labels.sort((a, b) => (a.label < b.label ? -1 : 1));
}

async function newestVersion(db: Connection, { project, name }: PromptKey) {
  const row = await db
    .selectFrom("versions")
    .select("number")
    .where("project", "=", project)
    .where("name", "=", name)
    .orderBy("number", "desc")
    .limit(1)
    .executeTakeFirst();
  return row?.number;
}
