import { setImmediate } from "node:timers/promises";
import { sql } from "kysely";
import { PromptdError } from "../core/errors.ts";
import type { Caller, CatalogEntry, CatalogFilter } from "../core/ports.ts";
import { LATEST_LABEL } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import { grouped, tagsByName } from "./lists.ts";
import { loadBody } from "./lookup.ts";

/** Versions and labels that one page may name, each: about 2 MiB of labels. */
const MAX_ROWS = 50_000;

/** Prompts in order of name, by page number. Its statements belong into one snapshot. @throws too_large */
export async function catalog(
  db: Connection,
  { project, promptPatterns = [] }: Pick<Caller, "project" | "promptPatterns">,
  filter: CatalogFilter,
  page: { size: number; skip: number },
): Promise<{ items: CatalogEntry[]; total: number }> {
  const chosen = chosenPrompts(db, project, promptPatterns, filter);
  const { total } = await chosen
    .select((select) => select.fn.countAll<number>().as("total"))
    .executeTakeFirstOrThrow();
  if (page.skip >= total) return { items: [], total };
  const prompts = await chosen
    .select(["p.name", "p.type", "p.updated_at"])
    .orderBy("p.name")
    .limit(page.size)
    .offset(page.skip)
    .execute();
  const names = prompts.map(({ name }) => name);
  const { versions, labels } = await detailsOf(db, project, names, filter.label);
  const tags = await tagsByName(db, project, names);
  const items: CatalogEntry[] = [];
  for (const { name, type, updated_at } of prompts) {
    const numbers = versions.get(name) ?? [];
    const newest = await loadBody(db, { project, name }, { version: numbers.at(-1) ?? 0 });
    items.push({
      name,
      type,
      tags: tags.get(name) ?? [],
      labels: labels.get(name) ?? [],
      versions: numbers,
      updatedAt: new Date(updated_at),
      config: newest?.body.config ?? {},
    });
    // SQLite answers at once, so a page of large prompts would let nobody else run.
    await setImmediate();
  }
  return { items, total };
}

function chosenPrompts(
  db: Connection,
  project: string,
  patterns: readonly string[],
  { name, label = LATEST_LABEL, tag, since, until }: CatalogFilter,
) {
  let query = db
    .selectFrom("prompts as p")
    // A prompt has versions exactly when it has the label `latest`.
    .innerJoin("labels as l", (join) =>
      join.onRef("l.project", "=", "p.project").onRef("l.name", "=", "p.name"),
    )
    .where("p.project", "=", project)
    .where("l.label", "=", label);
  if (name !== undefined) query = query.where("p.name", "=", name);
  if (since !== undefined) query = query.where("p.updated_at", ">=", since.getTime());
  if (until !== undefined) query = query.where("p.updated_at", "<", until.getTime());
  if (tag !== undefined) {
    query = query.where(({ exists, selectFrom }) =>
      exists(
        selectFrom("tags as t")
          .select("t.tag")
          .whereRef("t.project", "=", "p.project")
          .whereRef("t.name", "=", "p.name")
          .where("t.tag", "=", tag),
      ),
    );
  }
  if (patterns.length > 0) {
    query = query.where(({ or, eb }) =>
      or(
        patterns.map((pattern) => {
          if (!pattern.endsWith("*")) return eb("p.name", "=", pattern);
          const start = pattern.slice(0, -1);
          return sql<boolean>`substr(p.name, 1, ${sql.lit([...start].length)}) = ${start}`;
        }),
      ),
    );
  }
  return query;
}

/** The numbers and labels of the prompts' versions; with a label, of the one that has it. @throws too_large */
async function detailsOf(
  db: Connection,
  project: string,
  names: readonly string[],
  label: string | undefined,
): Promise<{ versions: Map<string, number[]>; labels: Map<string, string[]> }> {
  let labels = await db
    .selectFrom("labels")
    .select(["name", "label", "version"])
    .where("project", "=", project)
    .where("name", "in", names)
    .orderBy("name")
    .orderBy("label")
    .limit(MAX_ROWS + 1)
    .execute();
  requireShowable(labels.length);
  let versions: { name: string; version: number }[];
  if (label === undefined) {
    versions = await db
      .selectFrom("versions")
      .select(["name", "number as version"])
      .where("project", "=", project)
      .where("name", "in", names)
      .orderBy("name")
      .orderBy("number")
      .limit(MAX_ROWS + 1)
      .execute();
    requireShowable(versions.length);
  } else {
    versions = labels.filter((row) => row.label === label);
    const labelled = new Map(versions.map(({ name, version }) => [name, version]));
    labels = labels.filter(({ name, version }) => labelled.get(name) === version);
  }
  const name = (row: { name: string }) => row.name;
  return {
    versions: grouped(versions, name, ({ version }) => version),
    labels: grouped(labels, name, (row) => row.label),
  };
}

function requireShowable(rows: number): void {
  if (rows <= MAX_ROWS) return;
  const message = `these prompts have more than ${MAX_ROWS} versions or labels: ask for fewer prompts at once`;
  throw new PromptdError("too_large", message);
}
