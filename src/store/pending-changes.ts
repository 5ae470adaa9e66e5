import type { Selectable } from "kysely";
import { PromptdError } from "../core/errors.ts";
import type { PendingChange } from "../core/policy.ts";
import type { Page } from "../core/ports.ts";
import type { LabelChange } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import type { Tables } from "./schema.ts";

/** Of one project. */
const MAX_PENDING = 100;

/** @throws refused past MAX_PENDING */
export async function addPendingChange(db: Connection, pending: PendingChange): Promise<void> {
  const { id, project, name, moves, reason, author, createdAt } = pending;
  const { count } = await db
    .selectFrom("pending_changes")
    .select((select) => select.fn.countAll<number>().as("count"))
    .where("project", "=", project)
    .executeTakeFirstOrThrow();
  if (count >= MAX_PENDING) {
    const message = `${count} changes wait for approval in project "${project}", the most there can be; approve or reject some`;
    throw new PromptdError("refused", message);
  }
  const what = { id, project, name, moves: JSON.stringify(moves) };
  const row = { ...what, reason, author, created_at: createdAt.getTime() };
  await db.insertInto("pending_changes").values(row).execute();
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
