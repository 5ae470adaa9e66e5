import type { Page } from "../core/ports.ts";
import type { Change, ChangeKind } from "../core/prompt.ts";
import { changeHash, headOfChanges } from "./change-chain.ts";
import type { Connection } from "./database.ts";
import type { PromptKey } from "./prompt-key.ts";

/** What a change holds beside who, from where, when and why. */
export type ChangeDetail = Pick<Change, "versions" | "contentHashes" | "labels" | "tags" | "grant">;

export interface NewChange extends ChangeDetail {
  kind: ChangeKind;
  actor: string;
  origin: string | undefined;
  reason: string;
  /** Milliseconds since 1970. */
  createdAt: number;
}

/**
 * Takes the next revision and writes a change under it, in the transaction of
 * what it tells. Transactions run one at a time, so revisions are committed in
 * order, and a rollback leaves no gap.
 */
export async function appendChange(
  db: Connection,
  { project, name }: PromptKey,
  change: NewChange,
): Promise<number> {
  const { revision } = await db
    .updateTable("database")
    .set((set) => ({ revision: set("revision", "+", 1) }))
    .returning("revision")
    .executeTakeFirstOrThrow();
  const { kind, actor, origin = null, reason, createdAt, ...detail } = change;
  const who = { actor, origin, reason, created_at: createdAt };
  const row = { revision, project, name, kind, ...who, detail: JSON.stringify(detail) };
  const hash = changeHash(await headOfChanges(db), row);
  await db
    .insertInto("changes")
    .values({ ...row, hash })
    .execute();
  return revision;
}

/** Changes of a project, newest first. */
export async function listChanges(
  db: Connection,
  project: string,
  filter: { name?: string; after?: number },
  page: { size: number; before?: number },
): Promise<Page<Change, number>> {
  let query = db
    .selectFrom("changes")
    .select(["revision", "project", "name", "kind", "actor", "origin", "reason"])
    .select(["created_at", "detail"])
    .where("project", "=", project)
    .orderBy("revision", "desc")
    .limit(page.size + 1);
  if (filter.name !== undefined) query = query.where("name", "=", filter.name);
  if (filter.after !== undefined) query = query.where("revision", ">", bounded(filter.after));
  if (page.before !== undefined) query = query.where("revision", "<", bounded(page.before));
  const rows = await query.execute();

  const items = rows.slice(0, page.size).map(
    ({ detail, created_at, origin, ...change }): Change => ({
      ...change,
      ...(origin !== null && { origin }),
      ...parseDetail(detail),
      createdAt: new Date(created_at),
    }),
  );
  const last = items.at(-1);
  return rows.length > page.size && last !== undefined ? { items, next: last.revision } : { items };
}

/** JSON has no times of its own. */
function parseDetail(text: string): ChangeDetail {
  return JSON.parse(text, (key, value) => (key === "expiresAt" ? new Date(value) : value));
}

/** A caller may name any 64-bit number; no revision is ever above this. */
function bounded(revision: number): number {
  return Math.min(revision, Number.MAX_SAFE_INTEGER);
}
