import { sql } from "kysely";
import type { Pointer, PromptBody, PromptVersion, Selector } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import type { PromptKey } from "./prompt-key.ts";
import type { Tables } from "./schema.ts";

/** Where the selector leads, undefined where it leads nowhere. */
export async function findPointer(
  db: Connection,
  prompt: PromptKey,
  selector: Selector,
): Promise<Pointer | undefined> {
  const row = await selected(db, prompt, selector).executeTakeFirst();
  return row && pointer(row);
}

/** What `loadVersion` reads: the version, and beside it a row for each of its labels and tags. */
type LoadedRow =
  | ({ kind: "version"; text: string; place: number } & PointerRow &
      Pick<Tables["versions"], "commit_message" | "author" | "created_at">)
  | { kind: "label" | "tag"; text: string; place: number };

/**
 * As `findPointer`, with all that is known. One statement, because callers wait
 * for what nobody has cached.
 */
export async function loadVersion(
  db: Connection,
  prompt: PromptKey,
  selector: Selector,
): Promise<PromptVersion | undefined> {
  const { project, name } = prompt;
  const chosen = selected(db, prompt, selector);
  const { rows } = await sql<LoadedRow>`
    with chosen as ${chosen.select(["v.body", "v.commit_message", "v.author", "v.created_at"])}
    select 'version' as kind, body as text, 0 as place, name, type, revision, updated_at, number,
      content_hash, commit_message, author, created_at
    from chosen
    union all
    select 'label', label, place, null, null, null, null, null, null, null, null, null
    from labels
    where project = ${project} and name = ${name} and version = (select number from chosen)
    union all
    select 'tag', tag, position, null, null, null, null, null, null, null, null, null
    from tags
    where project = ${project} and name = ${name}`.execute(db);
  const row = rows.find((each) => each.kind === "version");
  if (row === undefined) return undefined;
  // Written out: many are kept, and what is spread takes more memory each.
  return {
    name: row.name,
    type: row.type,
    version: row.number,
    contentHash: row.content_hash,
    revision: row.revision,
    updatedAt: new Date(row.updated_at),
    body: parseStoredBody(row.text),
    labels: textsOf(rows, "label"),
    tags: textsOf(rows, "tag"),
    commitMessage: row.commit_message,
    author: row.author,
    createdAt: new Date(row.created_at),
  };
}

/** In their order; what came together, by name. */
function textsOf(rows: readonly LoadedRow[], kind: "label" | "tag"): string[] {
  return rows
    .filter((row) => row.kind === kind)
    .sort((a, b) => a.place - b.place || (a.text < b.text ? -1 : 1))
    .map(({ text }) => text);
}

/** What composition needs of a version. */
export async function loadBody(db: Connection, prompt: PromptKey, selector: Selector) {
  const row = await selected(db, prompt, selector).select("v.body").executeTakeFirst();
  if (row === undefined) return undefined;
  const { name, number: version, content_hash: contentHash } = row;
  return { name, version, contentHash, body: parseStoredBody(row.body) };
}

function selected(db: Connection, { project, name }: PromptKey, selector: Selector) {
  return db
    .selectFrom("versions as v")
    .innerJoin("prompts as p", (join) =>
      join.onRef("p.project", "=", "v.project").onRef("p.name", "=", "v.name"),
    )
    .select(["p.name", "p.type", "p.revision", "p.updated_at", "v.number", "v.content_hash"])
    .where("v.project", "=", project)
    .where("v.name", "=", name)
    .where("v.number", "=", (where) =>
      "version" in selector
        ? where.val(selector.version)
        : where
            .selectFrom("labels as l")
            .select("l.version")
            .where("l.project", "=", project)
            .where("l.name", "=", name)
            .where("l.label", "=", selector.label),
    );
}

type PointerRow = NonNullable<Awaited<ReturnType<ReturnType<typeof selected>["executeTakeFirst"]>>>;

function pointer(row: PointerRow): Pointer {
  return {
    name: row.name,
    type: row.type,
    version: row.number,
    contentHash: row.content_hash,
    revision: row.revision,
    updatedAt: new Date(row.updated_at),
  };
}

/** What `canonicalBody` wrote. */
function parseStoredBody(text: string): PromptBody {
  return JSON.parse(text) as PromptBody;
}
