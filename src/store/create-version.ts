import { canonicalBody, contentHash } from "../core/content-hash.ts";
import { moved, previousMoves, requireSuccessor } from "../core/mutation-rules.ts";
import type { CreatedVersion, NewVersion } from "../core/ports.ts";
import { LATEST_LABEL } from "../core/prompt.ts";
import { CompositionCheck } from "./composition-check.ts";
import { recordDependencies } from "./dependencies.ts";
import { heedLabelPolicies, requireNoApproval } from "./label-policies.ts";
import { moveLabels, plannedMoves, setLatest } from "./labels.ts";
import { type Mutation, recordChange } from "./mutation.ts";
import { abortedLabels, endingRollouts } from "./rollout-rows.ts";
import { findStanding, requireProject, type Standing } from "./standing.ts";
import { replaceTags } from "./tags.ts";

/** @throws not_found for the project, conflict, refused, forbidden */
export async function createVersion(
  mutation: Mutation,
  asked: NewVersion,
): Promise<CreatedVersion> {
  const { db, prompt } = mutation;
  const standing = await findStanding(db, prompt);
  if (standing === undefined) await requireProject(db, prompt.project);
  requireSuccessor(standing, asked);

  const body = canonicalBody(asked.body);
  const hash = contentHash(body);
  const created = asked.evenIfSame === true || standing?.newestHash !== hash;
  const version = created ? (standing?.lastVersion ?? 0) + 1 : (standing?.newest ?? 0);
  if (created) await insertVersion(mutation, standing, asked, { number: version, body, hash });

  const moves = [...new Set(asked.labels)].map((label) => ({ label, version }));
  const labels = await plannedMoves(db, prompt, moves);
  const moving = labels.filter(moved);
  const advice = "create the version without it, and then ask for it by SetLabels";
  await requireNoApproval(mutation, moving, advice);
  await moveLabels(db, prompt, moving);
  const named = labels.map(({ label }) => label);
  const rollouts = await endingRollouts(db, prompt, named);
  await heedLabelPolicies(mutation, rollouts);
  const tags = asked.tags && (await replaceTags(db, prompt, asked.tags));
  const answer = {
    version,
    created,
    contentHash: hash,
    previous: previousMoves(labels),
    abortedRollouts: abortedLabels(rollouts),
  };
  if (!created && moving.length === 0 && tags === undefined && rollouts.length === 0) {
    return { ...answer, revision: standing?.revision ?? 0 };
  }

  const movedLabels = moving.map(({ label }) => label);
  if (created) movedLabels.push(LATEST_LABEL);
  await new CompositionCheck(mutation).require(prompt.name, [version], movedLabels);
  const kind = created
    ? "version_created"
    : moving.length > 0
      ? "labels_set"
      : tags === undefined
        ? "rollout_set"
        : "tags_set";
  const revision = await recordChange(mutation, kind, asked.commitMessage, {
    versions: created ? [version] : [],
    ...(created && { contentHashes: [hash] }),
    labels: moving,
    ...(tags && { tags }),
    rollouts,
  });
  return { ...answer, revision };
}

/** Adds a version, and the prompt with its first one, and puts `latest` on it. */
async function insertVersion(
  { db, prompt, actor, now }: Mutation,
  standing: Standing | undefined,
  asked: NewVersion,
  { number, body, hash }: { number: number; body: string; hash: string },
): Promise<void> {
  const { project, name } = prompt;
  const { type, format } = asked.body;
  if (standing === undefined) {
    const counts = { last_version: number, version_count: 1 };
    // The revision is given once all is done.
    const row = { project, name, type, ...counts, revision: 0, updated_at: now };
    await db.insertInto("prompts").values(row).execute();
  } else {
    await db
      .updateTable("prompts")
      .set((set) => ({ type, last_version: number, version_count: set("version_count", "+", 1) }))
      .where("project", "=", project)
      .where("name", "=", name)
      .execute();
  }
  await db
    .insertInto("versions")
    .values({
      project,
      name,
      number,
      format,
      content_hash: hash,
      commit_message: asked.commitMessage,
      author: actor,
      created_at: now,
      body,
    })
    .execute();
  await setLatest(db, prompt, number);
  await recordDependencies(db, prompt, number, asked.body);
}
