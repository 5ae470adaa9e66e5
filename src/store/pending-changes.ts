import type { Selectable } from "kysely";
import { PromptdError } from "../core/errors.ts";
import type { PendingChange } from "../core/policy.ts";
import type { Page } from "../core/ports.ts";
import type { LabelChange } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import type { Tables } from "./schema.ts";

/** Of one project. */
const MAX_PENDING = 100;
/** Of one author in it, so that nobody takes the room of all. */
const MAX_PENDING_OF_AUTHOR = 20;

/** @throws refused past MAX_PENDING and MAX_PENDING_OF_AUTHOR */
export async function addPendingChange(db: Connection, pending: PendingChange): Promise<void> {
  const { id, project, name, moves, reason, author, createdAt } = pending;
  const waiting = await db
    .selectFrom("pending_changes")
    .select("author")
    .where("project", "=", project)
    .execute();
  const own = waiting.filter((change) => change.author === author).length;
  if (own >= MAX_PENDING_OF_AUTHOR) throw tooMany(`${own} changes of this key`, project);
  if (waiting.length >= MAX_PENDING) throw tooMany(`${waiting.length} changes`, project);
  const what = { id, project, name, moves: JSON.stringify(moves) };
  const row = { ...what, reason, author, created_at: createdAt.getTime() };
  await db.insertInto("pending_changes").values(row).execute();
}

function tooMany(changes: string, project: string): PromptdError {
  const message = `${changes} wait for approval in project "${project}", the most there can be; approve or reject some`;
  return new PromptdError("refused", message);
}

/** The change that waits for the same moves of the same author. */
export async function findSamePendingChange(
  db: Connection,
  { project, name, author, moves }: Pick<PendingChange, "project" | "name" | "author" | "moves">,
): Promise<PendingChange | undefined> {
  const row = await db
    .selectFrom("pending_changes")
    .selectAll()
    .where("project", "=", project)
    .where("name", "=", name)
    .where("author", "=", author)
    .where("moves", "=", JSON.stringify(moves))
    .executeTakeFirst();
  return row && toPendingChange(row);
}

/** Oldest first. */
export async function listPendingChanges(
  db: Connection,
  project: string,
  filter: { name?: string },
  page: { size: number; after?: string },
): Promise<Page<PendingChange, string>> {
  const { name } = filter;
  const rows = await db
    .selectFrom("pending_changes")
    .selectAll()
    .where("project", "=", project)
    .$if(name !== undefined, (query) => query.where("name", "=", name ?? ""))
    .where("id", ">", page.after ?? "")
    .orderBy("id")
    .limit(page.size + 1)
    .execute();
  const items = rows.slice(0, page.size).map(toPendingChange);
  const last = items.at(-1);
  return rows.length > page.size && last !== undefined ? { items, next: last.id } : { items };
}

/** @throws not_found, also for one of another project */
export async function findPendingChange(
  db: Connection,
  project: string,
  id: string,
): Promise<PendingChange> {
  const row = await db
    .selectFrom("pending_changes")
    .selectAll()
    .where("project", "=", project)
    .where("id", "=", id)
    .executeTakeFirst();
  if (row !== undefined) return toPendingChange(row);
  const message = `no change ${id} waits for approval; it was approved or rejected, or never asked for`;
  throw new PromptdError("not_found", message);
}

export async function removePendingChange(db: Connection, { id }: PendingChange): Promise<void> {
  await db.deleteFrom("pending_changes").where("id", "=", id).execute();
}

function toPendingChange(row: Selectable<Tables["pending_changes"]>): PendingChange {
  const { moves, created_at, ...pending } = row;
  return {
    ...pending,
    moves: JSON.parse(moves) as LabelChange[],
    createdAt: new Date(created_at),
  };
}
