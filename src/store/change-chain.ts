import { canonicalJson, sha256 } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import type { Connection, Database } from "./database.ts";
import type { Tables } from "./schema.ts";

/** A change as it is stored, without its place in the chain. */
export type StoredChange = Omit<Tables["changes"], "hash">;

/** What the first change stands on. */
export const BEGINNING = "";

const PAGE = 1000;

/**
 * Lower-case hex of SHA-256 over RFC 8785 JSON of the change and the hash of the
 * one before it: no change can be altered, taken out or put in without altering
 * all that follow. Changes without an origin are hashed without it, as they were
 * before there was one.
 */
export function changeHash(previous: string, change: StoredChange): string {
  const { revision, project, name, kind, actor, origin, reason, created_at, detail } = change;
  const chained = { previous, revision, project, name, kind, actor, reason, created_at, detail };
  return sha256(canonicalJson(typeof origin === "string" ? { ...chained, origin } : chained));
}

/** The hash that the next change stands on, null for the first. Read under the write lock. */
export function headOfChanges(db: Connection) {
  return db.selectFrom("changes").select("hash").orderBy("revision", "desc").limit(1);
}

/**
 * Recomputes every hash of the history.
 *
 * @returns how many changes there are, and the last one's hash: whoever noted it
 *   before can tell that the history was not rewritten as a whole
 * @throws refused naming the first change that is missing, was altered or was put in before the first one
 */
export function verifyChanges(database: Database): Promise<{ changes: number; head: string }> {
  return database.snapshot(undefined, async (db) => {
    let changes = 0;
    let head = BEGINNING;
    for (let rows = await rowsAfter(db); rows.length > 0; rows = await rowsAfter(db, changes)) {
      for (const { hash, ...change } of rows) {
        if (change.revision < 1) throw broken(change.revision, "was put in");
        if (change.revision !== changes + 1) throw broken(changes + 1, "is missing");
        if (hash !== changeHash(head, change)) throw broken(change.revision, "was altered");
        changes = change.revision;
        head = hash;
      }
    }
    const { revision } = await db
      .selectFrom("database")
      .select("revision")
      .executeTakeFirstOrThrow();
    if (revision !== changes) throw broken(changes + 1, "is missing");
    return { changes, head };
  });
}

/** Puts a history that has no hashes yet into a chain. */
export async function chainChanges(db: Connection): Promise<void> {
  let head = BEGINNING;
  let last = 0;
  for (let rows = await rowsAfter(db, 0); rows.length > 0; rows = await rowsAfter(db, last)) {
    for (const { hash: _, ...change } of rows) {
      head = changeHash(head, change);
      last = change.revision;
      await db.updateTable("changes").set({ hash: head }).where("revision", "=", last).execute();
    }
  }
}

/** @param revision none: from the first row on, whatever its revision is */
function rowsAfter(db: Connection, revision?: number) {
  return db
    .selectFrom("changes")
    .selectAll()
    .$if(revision !== undefined, (query) => query.where("revision", ">", revision ?? 0))
    .orderBy("revision")
    .limit(PAGE)
    .execute();
}

function broken(revision: number, what: string): PromptdError {
  return new PromptdError("refused", `the history is not whole: change ${revision} ${what}`);
}
