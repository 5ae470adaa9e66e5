import type { Change, ChangeKind } from "../core/change.ts";
import type { ChangeFilter, Page } from "../core/ports.ts";
import { BEGINNING, changeHash, headOfChanges, type StoredChange } from "./change-chain.ts";
import type { Connection } from "./database.ts";
import type { PromptKey } from "./prompt-key.ts";
import { type RolloutReplacement, replaceRollouts, toRolloutChange } from "./rollout-rows.ts";

/** What a change holds beside who, from where, when and why. */
export interface ChangeDetail
  extends Pick<
    Change,
    | "versions"
    | "contentHashes"
    | "labels"
    | "tags"
    | "grant"
    | "approver"
    | "approvalReason"
    | "pendingChangeId"
    | "requested"
    | "policy"
  > {
  /** Rollouts that it changes, which are written with it. */
  rollouts?: readonly RolloutReplacement[];
}

export interface NewChange extends ChangeDetail {
  kind: ChangeKind;
  actor: string;
  origin: string | undefined;
  reason: string;
  /** Milliseconds since 1970. */
  createdAt: number;
}

/** As the row of a change holds it. */
type StoredDetail = Pick<Change, keyof ChangeDetail>;

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
  const { revision, head } = await db
    .updateTable("database")
    .set((set) => ({ revision: set("revision", "+", 1) }))
    .returning(["revision", headOfChanges(db).as("head")])
    .executeTakeFirstOrThrow();
  const { kind, actor, origin = null, reason, createdAt, rollouts = [], ...rest } = change;
  const who = { actor, origin, reason, created_at: createdAt };
  const detail: StoredDetail =
    rollouts.length === 0 ? rest : { ...rest, rollouts: rollouts.map(toRolloutChange) };
  const row = { revision, project, name, kind, ...who, detail: JSON.stringify(detail) };
  const hash = changeHash(head ?? BEGINNING, row);
  await db
    .insertInto("changes")
    .values({ ...row, hash })
    .execute();
  const last = { revision, actor, reason, changed_at: createdAt };
  await replaceRollouts(db, { project, name }, rollouts, last);
  return revision;
}

/**
 * How many changes a page is searched in. No index serves all filters, and a
 * search must not hold up others, however long the history is.
 */
const SEARCHED = 2000;

/** Changes of a project, newest first. */
export async function listChanges(
  db: Connection,
  project: string,
  { name, after, actor, kinds, since, until }: ChangeFilter,
  page: { size: number; before?: number },
): Promise<Page<Change, number>> {
  let range = db.selectFrom("changes").where("project", "=", project).orderBy("revision", "desc");
  if (name !== undefined) range = range.where("name", "=", name);
  if (after !== undefined) range = range.where("revision", ">", bounded(after));
  if (page.before !== undefined) range = range.where("revision", "<", bounded(page.before));
  const rest = await range.select("revision").offset(SEARCHED).limit(1).executeTakeFirst();

  let query = range
    .select(["revision", "project", "name", "kind", "actor", "origin", "reason"])
    .select(["created_at", "detail"])
    .limit(page.size + 1);
  if (rest !== undefined) query = query.where("revision", ">", rest.revision);
  if (actor !== undefined) query = query.where("actor", "=", actor);
  if (kinds !== undefined) query = query.where("kind", "in", kinds);
  if (since !== undefined) query = query.where("created_at", ">=", since.getTime());
  if (until !== undefined) query = query.where("created_at", "<", until.getTime());
  const rows = await query.execute();

  const items = rows.slice(0, page.size).map(toChange);
  const last = items.at(-1);
  if (rows.length > page.size && last !== undefined) return { items, next: last.revision };
  return rest === undefined ? { items } : { items, next: rest.revision + 1 };
}

export function toChange(row: StoredChange): Change {
  const { detail, created_at, origin, ...change } = row;
  return {
    ...change,
    ...(origin !== null && { origin }),
    ...parseDetail(detail),
    createdAt: new Date(created_at),
  };
}

/** JSON has no times of its own. */
function parseDetail(text: string): StoredDetail {
  return JSON.parse(text, (key, value) => (key === "expiresAt" ? new Date(value) : value));
}

/** A caller may name any 64-bit number; no revision is ever above this. */
function bounded(revision: number): number {
  return Math.min(revision, Number.MAX_SAFE_INTEGER);
}
