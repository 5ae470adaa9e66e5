import { type AliasableExpression, sql } from "kysely";
import { promptNotFound } from "../core/not-found.ts";
import type { Caller, Page } from "../core/ports.ts";
import {
  LATEST_LABEL,
  type LabelMove,
  type PromptInfo,
  type PromptType,
  type VersionInfo,
} from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import { beginsWith, fitsOneOf } from "./names.ts";
import type { PromptKey } from "./prompt-key.ts";
import { tagsOf } from "./tags.ts";

/** Labels shown of a prompt in a list. */
const SHOWN_LABELS = 100;

/** Prompts that the caller may use, in order of name. Its statements belong into one snapshot. */
export async function listPrompts(
  db: Connection,
  caller: Caller,
  filter: { label?: string; tag?: string; folder?: string },
  page: { size: number; after?: string },
): Promise<Page<PromptInfo, string>> {
  const found = await pageOfNames(db, caller, filter, page);
  const names = found.slice(0, page.size);
  if (names.length === 0) return { items: [] };
  const items = await describePrompts(db, caller.project, names);
  const last = names.at(-1);
  return found.length > page.size && last !== undefined ? { items, next: last } : { items };
}

/** Versions of a prompt, newest first. Its statements belong into one snapshot. @throws not_found */
export async function listVersions(
  db: Connection,
  prompt: PromptKey,
  filter: { label?: string },
  page: { size: number; before?: number },
): Promise<
  Page<VersionInfo, number> & { type: PromptType; tags: readonly string[]; revision: number }
> {
  const row = await db
    .selectFrom("prompts")
    .select(["type", "revision"])
    .where("project", "=", prompt.project)
    .where("name", "=", prompt.name)
    .where("version_count", ">", 0)
    .executeTakeFirst();
  if (row === undefined) throw promptNotFound(prompt);

  const rows = await pageOfVersions(db, prompt, filter, page);
  const shown = rows.slice(0, page.size);
  const labels = await labelsByVersion(
    db,
    prompt,
    shown.map((version) => version.number),
  );
  const items = shown.map(
    (version): VersionInfo => ({
      version: version.number,
      labels: labels.get(version.number) ?? [],
      commitMessage: version.commit_message,
      author: version.author,
      createdAt: new Date(version.created_at),
      contentHash: version.content_hash,
      format: version.format,
    }),
  );
  const last = items.at(-1);
  const next = rows.length > page.size && last !== undefined ? { next: last.version } : {};
  return { items, ...next, ...row, tags: await tagsOf(db, prompt) };
}

/**
 * The names of a page, and one more. All are read off an index: that of the
 * tags, or that of the labels, where `latest` stands for "has versions".
 */
async function pageOfNames(
  db: Connection,
  { project, promptPatterns = [] }: Caller,
  filter: { label?: string; tag?: string; folder?: string },
  page: { size: number; after?: string },
): Promise<string[]> {
  const { label = LATEST_LABEL, tag, folder } = filter;
  const labeled = db
    .selectFrom("labels as l")
    .select("l.name")
    .where("l.project", "=", project)
    .where("l.label", "=", label);
  const tagged = db
    .selectFrom("tags as t")
    .select("t.name")
    .where("t.project", "=", project)
    .where("t.tag", "=", tag ?? "")
    .where(({ exists }) => exists(labeled.where("l.name", "=", sql.ref<string>("t.name"))));
  const chosen: AliasableExpression<{ name: string }> = tag === undefined ? labeled : tagged;

  let query = db
    .selectFrom(chosen.as("chosen"))
    .select("chosen.name")
    .orderBy("chosen.name")
    .limit(page.size + 1);
  if (folder !== undefined) query = query.where(beginsWith("chosen.name", `${folder}/`));
  if (promptPatterns.length > 0) query = query.where(fitsOneOf("chosen.name", promptPatterns));
  if (page.after !== undefined) query = query.where("chosen.name", ">", page.after);
  const rows = await query.execute();
  return rows.map((row) => row.name);
}

async function describePrompts(
  db: Connection,
  project: string,
  names: readonly string[],
): Promise<PromptInfo[]> {
  const prompts = await db
    .selectFrom("prompts as p")
    .innerJoin("labels as l", (join) =>
      join.onRef("l.project", "=", "p.project").onRef("l.name", "=", "p.name"),
    )
    .select(["p.name", "p.type", "p.revision", "p.updated_at", "p.version_count", "l.version"])
    .select((select) =>
      select
        .selectFrom("labels as h")
        .select("h.label")
        .whereRef("h.project", "=", "p.project")
        .whereRef("h.name", "=", "p.name")
        .orderBy("h.label")
        .limit(1)
        .offset(SHOWN_LABELS)
        .as("first_hidden_label"),
    )
    .where("l.label", "=", LATEST_LABEL)
    .where("p.project", "=", project)
    .where("p.name", "in", names)
    .orderBy("p.name")
    .execute();
  const crowded = prompts.filter((prompt) => prompt.first_hidden_label !== null);
  const crowdedNames = crowded.map((prompt) => prompt.name);
  const labels = await labelsByName(db, project, names, crowdedNames);
  const tags = await tagsByName(db, project, names);
  return prompts.map((prompt) => ({
    name: prompt.name,
    type: prompt.type,
    tags: tags.get(prompt.name) ?? [],
    labels: labels.get(prompt.name) ?? [],
    latestVersion: prompt.version,
    versionCount: prompt.version_count,
    updatedAt: new Date(prompt.updated_at),
    revision: prompt.revision,
  }));
}

/** @param crowded names of which not all labels are shown, and so not all read */
async function labelsByName(
  db: Connection,
  project: string,
  names: readonly string[],
  crowded: readonly string[],
): Promise<Map<string, LabelMove[]>> {
  const labels = db
    .selectFrom("labels")
    .select(["name", "label", "version"])
    .where("project", "=", project)
    .orderBy("name")
    .orderBy("label");
  const others = names.filter((name) => !crowded.includes(name));
  const rows = others.length === 0 ? [] : await labels.where("name", "in", others).execute();
  for (const name of crowded) {
    rows.push(...(await labels.where("name", "=", name).limit(SHOWN_LABELS).execute()));
  }
  return grouped(
    rows,
    (row) => row.name,
    ({ label, version }) => ({ label, version }),
  );
}

export async function tagsByName(db: Connection, project: string, names: readonly string[]) {
  const rows = await db
    .selectFrom("tags")
    .select(["name", "tag"])
    .where("project", "=", project)
    .where("name", "in", names)
    .orderBy("name")
    .orderBy("position")
    .execute();
  return grouped(
    rows,
    (row) => row.name,
    (row) => row.tag,
  );
}

async function pageOfVersions(
  db: Connection,
  { project, name }: PromptKey,
  filter: { label?: string },
  page: { size: number; before?: number },
) {
  let query = db
    .selectFrom("versions")
    .select(["number", "format", "content_hash", "commit_message", "author", "created_at"])
    .where("project", "=", project)
    .where("name", "=", name)
    .orderBy("number", "desc")
    .limit(page.size + 1);
  const { label } = filter;
  if (label !== undefined) {
    query = query.where("number", "=", (where) =>
      where
        .selectFrom("labels")
        .select("version")
        .where("project", "=", project)
        .where("name", "=", name)
        .where("label", "=", label),
    );
  }
  if (page.before !== undefined) query = query.where("number", "<", page.before);
  return query.execute();
}

async function labelsByVersion(
  db: Connection,
  { project, name }: PromptKey,
  numbers: readonly number[],
) {
  if (numbers.length === 0) return new Map<number, string[]>();
  const rows = await db
    .selectFrom("labels")
    .select(["version", "label"])
    .where("project", "=", project)
    .where("name", "=", name)
    .where("version", "in", numbers)
    // As the index by versions has them: by label alone, SQLite would look through all of the prompt's.
    .orderBy("version")
    .orderBy("label")
    .execute();
  return grouped(
    rows,
    (row) => row.version,
    (row) => row.label,
  );
}

export function grouped<Row, Key, Value>(
  rows: readonly Row[],
  key: (row: Row) => Key,
  value: (row: Row) => Value,
): Map<Key, Value[]> {
  const groups = new Map<Key, Value[]>();
  for (const row of rows) {
    const group = groups.get(key(row));
    if (group === undefined) groups.set(key(row), [value(row)]);
    else group.push(value(row));
  }
  return groups;
}
