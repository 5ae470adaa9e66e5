import { canonicalBody, contentHash } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import { moved } from "../core/mutation-rules.ts";
import type { Caller } from "../core/ports.ts";
import type { LabelChange, LabelMove, PromptBody, PromptVersion } from "../core/prompt.ts";
import { CompositionCheck } from "./composition-check.ts";
import type { Connection, Database } from "./database.ts";
import { recordDependencies } from "./dependencies.ts";
import { moveLabels, plannedMoves, setLatest } from "./labels.ts";
import { type Mutation, recordChange } from "./mutation.ts";
import type { PromptKey } from "./prompt-key.ts";
import { findStanding, requireProject, type Standing } from "./standing.ts";
import { replaceTags } from "./tags.ts";

/** A version as it was made elsewhere. */
export type AdoptedVersion = { body: PromptBody } & Pick<
  PromptVersion,
  "version" | "author" | "createdAt" | "commitMessage"
>;

/** Versions of one prompt, all of its type. A prompt with many comes in several of these. */
export interface Adoption {
  name: string;
  versions: readonly AdoptedVersion[];
  /**
   * What stands beside the versions, once all are there: a label only goes to a
   * version that has this content.
   */
  beside?: {
    labels: readonly (LabelMove & { contentHash: string })[];
    tags: readonly string[];
  };
  /**
   * Names where they are from, in 400 characters at most. A prompt whose last change has the same reason was
   * changed by nobody else since, so that labels and tags may follow.
   */
  reason: string;
}

/** What an adoption does, or would do. */
export interface Adopted {
  /** Numbers of the versions that were not here. */
  added: readonly number[];
  /** Whether labels and tags follow; false where somebody else has changed the prompt. */
  follows: boolean;
}

interface Plan extends Adopted {
  standing: Standing | undefined;
  missing: readonly (AdoptedVersion & { hash: string; canonical: string })[];
}

/** Behind the reason where labels and tags do not follow. */
const BESIDE_STAYS = "; labels and tags stay as they were here";

/** Labels in a statement, which takes a bounded number of parameters. */
const LABELS_AT_ONCE = 1000;

type Context = Pick<Mutation, "db" | "prompt" | "actor" | "origin" | "now">;

/**
 * Takes versions over from elsewhere with their numbers, times and authors. What
 * is here is never overwritten: a version with a number that was given is passed
 * over. Whoever opens the database may do so whatever the policy of labels, and
 * may bring a prompt before those that it includes: nothing here looks whether it
 * composes.
 */
export class Adoptions {
  readonly #database: Database;
  readonly #now: () => number;

  /** @param now milliseconds since 1970 */
  constructor(database: Database, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  /** Tells what `adopt` would do. @throws not_found for the project, refused for another type */
  async plan({ project, signal }: Caller, adoption: Adoption): Promise<Adopted> {
    const prompt = { project, name: adoption.name };
    const plan = await this.#database.snapshot(signal, (db) => planned(db, prompt, adoption));
    return { added: plan.added, follows: plan.follows };
  }

  /** All of it in one change, or none where nothing is missing. @throws not_found for the project, refused */
  async adopt({ project, actor, origin, signal }: Caller, adoption: Adoption): Promise<Adopted> {
    const prompt = { project, name: adoption.name };
    return this.#database.transaction(signal, async (db) => {
      const plan = await planned(db, prompt, adoption);
      await apply({ db, prompt, actor, origin, now: this.#now() }, adoption, plan);
      return { added: plan.added, follows: plan.follows };
    });
  }

  /** Why a version of a prompt does not compose; undefined where it does. */
  async fault({ project, signal }: Caller, name: string, version: number) {
    return this.#database.snapshot(signal, async (db) => {
      const check = new CompositionCheck({ db, prompt: { project, name }, promptPatterns: [] });
      try {
        await check.require(name, [version], []);
        return undefined;
      } catch (thrown) {
        if (thrown instanceof PromptdError && thrown.code !== "unavailable") return thrown.message;
        throw thrown;
      }
    });
  }
}

async function planned(
  db: Connection,
  prompt: PromptKey,
  { versions, reason }: Adoption,
): Promise<Plan> {
  const standing = await findStanding(db, prompt);
  if (standing === undefined) await requireProject(db, prompt.project);
  const other = versions.find(({ body }) => body.type !== standing?.type);
  if (standing !== undefined && standing.newest !== null && other !== undefined) {
    const message = `prompt "${prompt.name}" is a ${standing.type} prompt here: the type cannot change between versions`;
    throw new PromptdError("refused", message, { refusal: { rule: "type_differs" } });
  }
  const follows = standing === undefined || (await lastReason(db, standing.revision)) === reason;
  const there = await hashesOf(
    db,
    prompt,
    versions.map(({ version }) => version),
  );
  const missing = versions
    // A number that was given here, and is gone, was deleted.
    .filter(({ version }) => follows || version > (standing?.lastVersion ?? 0))
    .filter(({ version }) => !there.has(version))
    .map((each) => {
      const canonical = canonicalBody(each.body);
      return { ...each, canonical, hash: contentHash(canonical) };
    });
  return { standing, missing, follows, added: missing.map(({ version }) => version) };
}

async function apply(context: Context, adoption: Adoption, plan: Plan): Promise<void> {
  const { db, prompt } = context;
  if (plan.missing.length > 0) await insertVersions(context, plan);
  const beside = plan.follows ? adoption.beside : undefined;
  const labels = await putLabels(db, prompt, beside?.labels ?? []);
  const tags = beside && (await replaceTags(db, prompt, beside.tags));
  if (plan.missing.length === 0 && labels.length === 0 && tags === undefined) return;
  // What others have changed stays so, in later adoptions too.
  const reason = plan.follows ? adoption.reason : `${adoption.reason}${BESIDE_STAYS}`;
  const kind =
    plan.missing.length > 0 ? "version_created" : labels.length > 0 ? "labels_set" : "tags_set";
  await recordChange(context, kind, reason, {
    versions: plan.added,
    ...(plan.missing.length > 0 && { contentHashes: plan.missing.map(({ hash }) => hash) }),
    labels,
    ...(tags && { tags }),
  });
}

/** Adds the versions, and the prompt with its first ones, and puts `latest` on the newest. */
async function insertVersions(
  { db, prompt, now }: Context,
  { standing, missing, added }: Plan,
): Promise<void> {
  const { project, name } = prompt;
  const last = Math.max(standing?.lastVersion ?? 0, ...added);
  const type = missing[0]?.body.type ?? "text";
  if (standing === undefined) {
    const counts = { last_version: last, version_count: missing.length };
    // The revision is given once all is done.
    const row = { project, name, type, ...counts, revision: 0, updated_at: now };
    await db.insertInto("prompts").values(row).execute();
  } else {
    await db
      .updateTable("prompts")
      .set((set) => ({
        type,
        last_version: last,
        version_count: set("version_count", "+", missing.length),
      }))
      .where("project", "=", project)
      .where("name", "=", name)
      .execute();
  }
  for (const { version, body, author, createdAt, commitMessage, canonical, hash } of missing) {
    await db
      .insertInto("versions")
      .values({
        project,
        name,
        number: version,
        format: body.format,
        content_hash: hash,
        commit_message: commitMessage,
        author,
        created_at: createdAt.getTime(),
        body: canonical,
      })
      .execute();
    await recordDependencies(db, prompt, version, body);
  }
  await setLatest(db, prompt, Math.max(standing?.newest ?? 0, ...added));
}

/** @returns those that moved @throws refused past the bound on labels */
async function putLabels(
  db: Connection,
  prompt: PromptKey,
  labels: NonNullable<Adoption["beside"]>["labels"],
): Promise<LabelChange[]> {
  const moving: LabelChange[] = [];
  // Each lot is put before what stands, so that the order is kept.
  for (let end = labels.length; end > 0; end -= LABELS_AT_ONCE) {
    const lot = labels.slice(Math.max(end - LABELS_AT_ONCE, 0), end);
    const hashes = await hashesOf(
      db,
      prompt,
      lot.map(({ version }) => version),
    );
    const allowed = lot.filter((each) => hashes.get(each.version) === each.contentHash);
    const moves = (await plannedMoves(db, prompt, allowed)).filter(moved);
    await moveLabels(db, prompt, moves);
    moving.push(...moves);
  }
  return moving;
}

async function hashesOf(
  db: Connection,
  { project, name }: PromptKey,
  numbers: readonly number[],
): Promise<Map<number, string>> {
  if (numbers.length === 0) return new Map();
  const rows = await db
    .selectFrom("versions")
    .select(["number", "content_hash"])
    .where("project", "=", project)
    .where("name", "=", name)
    .where("number", "in", numbers)
    .execute();
  return new Map(rows.map((row) => [row.number, row.content_hash]));
}

async function lastReason(db: Connection, revision: number): Promise<string | undefined> {
  const row = await db
    .selectFrom("changes")
    .select("reason")
    .where("revision", "=", revision)
    .executeTakeFirst();
  return row?.reason;
}
