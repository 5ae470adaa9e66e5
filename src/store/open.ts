import { resolve } from "node:path";
import { type Database, type DatabaseOptions, invalidUrl } from "./database.ts";

/**
 * Opens `sqlite:PATH` (made when missing) or `postgres://…`, whose driver alone
 * is loaded. PostgreSQL is not connected to before it is needed.
 *
 * @throws invalid, unavailable
 */
export async function openDatabase(url: string, options: DatabaseOptions = {}): Promise<Database> {
  const path = sqlitePath(url);
  if (path !== undefined) {
    const { SqliteDatabase } = await import("./sqlite-database.ts");
    return SqliteDatabase.open(path, options);
  }
  if (/^postgres(ql)?:\/\//.test(url)) {
    const { PostgresDatabase } = await import("./postgres.ts");
    return new PostgresDatabase(url, options);
  }
  throw invalidUrl("expected sqlite:PATH or postgres://USER@HOST/DATABASE");
}

/** The absolute path of a SQLite URL, undefined for another one. @throws invalid */
export function sqlitePath(url: string): string | undefined {
  if (!url.startsWith("sqlite:")) return undefined;
  const path = url.slice("sqlite:".length);
  if (path === "" || path === ":memory:") {
    throw invalidUrl("expected the path of a file behind sqlite:");
  }
  return resolve(path);
}
