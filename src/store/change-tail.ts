import type { ChangeTail } from "../core/cache-ports.ts";
import { toChange } from "./change-log.ts";
import type { Database } from "./database.ts";

/** What tells a database apart from every other; a copy keeps it. */
export async function databaseId(database: Database): Promise<string> {
  const { id } = await database.query(undefined, (db) =>
    db.selectFrom("database").select("id").executeTakeFirstOrThrow(),
  );
  return id;
}

/** The end of the history in promptd's own database. */
export function changeTail(database: Database): ChangeTail {
  return {
    newest: () =>
      database.query(undefined, (db) =>
        db
          .selectFrom("changes")
          .select(["revision", "hash"])
          .orderBy("revision", "desc")
          .limit(1)
          .executeTakeFirst(),
      ),
    from: (revision, limit) =>
      database.query(undefined, async (db) => {
        const rows = await db
          .selectFrom("changes")
          .selectAll()
          .where("revision", ">=", revision)
          .orderBy("revision")
          .limit(limit)
          .execute();
        return rows.map(({ hash, ...row }) => ({ change: toChange(row), hash }));
      }),
  };
}
