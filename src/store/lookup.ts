import type { Pointer, PromptBody, PromptVersion, Selector } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import type { PromptKey } from "./prompt-key.ts";
import { tagsOf } from "./tags.ts";

/** Where the selector leads, undefined where it leads nowhere. */
export async function findPointer(
  db: Connection,
  prompt: PromptKey,
  selector: Selector,
): Promise<Pointer | undefined> {
  const row = await selected(db, prompt, selector).executeTakeFirst();
  return row && pointer(row);
}

/** As `findPointer`, with all that is known. Its statements belong into one snapshot. */
export async function loadVersion(
  db: Connection,
  prompt: PromptKey,
  selector: Selector,
): Promise<PromptVersion | undefined> {
  const row = await selected(db, prompt, selector)
    .select(["v.body", "v.commit_message", "v.author", "v.created_at"])
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    ...pointer(row),
    body: parseStoredBody(row.body),
    labels: await labelsOfVersion(db, prompt, row.number),
    tags: await tagsOf(db, prompt),
    commitMessage: row.commit_message,
    author: row.author,
    createdAt: new Date(row.created_at),
  };
}

/** What composition needs of a version. */
export async function loadBody(db: Connection, prompt: PromptKey, selector: Selector) {
  const row = await selected(db, prompt, selector).select("v.body").executeTakeFirst();
  if (row === undefined) return undefined;
  const { name, number: version, content_hash: contentHash } = row;
  return { name, version, contentHash, body: parseStoredBody(row.body) };
}

async function labelsOfVersion(db: Connection, { project, name }: PromptKey, version: number) {
  const rows = await db
    .selectFrom("labels")
    .select("label")
    .where("project", "=", project)
    .where("name", "=", name)
    .where("version", "=", version)
    .orderBy("place")
    .orderBy("label")
    .execute();
  return rows.map((row) => row.label);
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
