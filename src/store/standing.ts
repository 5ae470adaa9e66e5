import { PromptdError } from "../core/errors.ts";
import { requireRevision } from "../core/mutation-rules.ts";
import { promptNotFound } from "../core/not-found.ts";
import { LATEST_LABEL, type PromptType } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import { notFound } from "./not-found.ts";
import type { PromptKey } from "./prompt-key.ts";

/** What mutations must know of a prompt before they change it. */
export interface Standing {
  type: PromptType;
  revision: number;
  /** The highest number ever given. */
  lastVersion: number;
  /** The newest version that exists; null where all were deleted. */
  newest: number | null;
  newestHash: string | null;
}

export type ExistingPrompt = Standing & { newest: number };

/** Undefined for a prompt that never was. */
export async function findStanding(
  db: Connection,
  { project, name }: PromptKey,
): Promise<Standing | undefined> {
  return db
    .selectFrom("prompts as p")
    .leftJoin("labels as l", (join) =>
      join
        .onRef("l.project", "=", "p.project")
        .onRef("l.name", "=", "p.name")
        .on("l.label", "=", LATEST_LABEL),
    )
    .leftJoin("versions as v", (join) =>
      join
        .onRef("v.project", "=", "l.project")
        .onRef("v.name", "=", "l.name")
        .onRef("v.number", "=", "l.version"),
    )
    .select([
      "p.type",
      "p.revision",
      "p.last_version as lastVersion",
      "v.number as newest",
      "v.content_hash as newestHash",
    ])
    .where("p.project", "=", project)
    .where("p.name", "=", name)
    .executeTakeFirst();
}

/** A prompt that has versions, in the state in which the caller has seen it. @throws not_found, conflict */
export async function requireExisting(
  db: Connection,
  prompt: PromptKey,
  expectedRevision: number | undefined,
): Promise<ExistingPrompt> {
  const standing = await findStanding(db, prompt);
  if (standing === undefined) await requireProject(db, prompt.project);
  if (standing === undefined || standing.newest === null) throw promptNotFound(prompt);
  const { newest, revision } = standing;
  requireRevision(prompt.name, revision, expectedRevision);
  return { ...standing, newest };
}

/** @throws not_found */
export async function requireProject(db: Connection, project: string): Promise<void> {
  const row = await db
    .selectFrom("projects")
    .select("id")
    .where("id", "=", project)
    .executeTakeFirst();
  if (row === undefined) {
    throw new PromptdError("not_found", `project "${project}" does not exist`);
  }
}

/** @throws not_found for the first version that does not exist */
export async function requireVersions(
  db: Connection,
  prompt: PromptKey,
  versions: readonly number[],
): Promise<void> {
  if (versions.length === 0) return;
  const rows = await db
    .selectFrom("versions")
    .select("number")
    .where("project", "=", prompt.project)
    .where("name", "=", prompt.name)
    .where("number", "in", versions)
    .execute();
  const existing = new Set(rows.map((row) => row.number));
  const missing = versions.find((version) => !existing.has(version));
  if (missing !== undefined) throw await notFound(db, prompt, { version: missing });
}
