import type { Change } from "../core/change.ts";
import type { Connection } from "./database.ts";
import type { PromptKey } from "./prompt-key.ts";

/** In the order in which they were given. */
export async function tagsOf(db: Connection, { project, name }: PromptKey): Promise<string[]> {
  const rows = await db
    .selectFrom("tags")
    .select("tag")
    .where("project", "=", project)
    .where("name", "=", name)
    .orderBy("position")
    .execute();
  return rows.map((row) => row.tag);
}

/** Puts tags, each once, in the place of all others. Undefined where that changes nothing. */
export async function replaceTags(
  db: Connection,
  prompt: PromptKey,
  tags: readonly string[],
): Promise<Change["tags"]> {
  const current = [...new Set(tags)];
  const previous = await tagsOf(db, prompt);
  if (JSON.stringify(previous) === JSON.stringify(current)) return undefined;
  await removeTags(db, prompt);
  const rows = current.map((tag, position) => ({ ...prompt, tag, position }));
  if (rows.length > 0) await db.insertInto("tags").values(rows).execute();
  return { previous, current };
}

async function removeTags(db: Connection, { project, name }: PromptKey): Promise<void> {
  await db.deleteFrom("tags").where("project", "=", project).where("name", "=", name).execute();
}
