import { existsSync, statSync } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, open, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { PromptdError } from "../core/errors.ts";
import { DatabaseFault } from "./database.ts";
import { MIGRATION_TABLE } from "./migrations.ts";
import { TABLES } from "./schema.ts";
import { SqliteDatabase } from "./sqlite-database.ts";
import { errorCode, makePrivateFile, openSqliteFile, SqliteFile } from "./sqlite-file.ts";
import { patiently, translated } from "./sqlite-lock.ts";

/** What a copy of a registry holds. */
export interface Contents {
  prompts: number;
  versions: number;
  changes: number;
}

/**
 * Writes a copy of a SQLite database, as it is at one moment, to a new file
 * that only the owner may read. Others may go on reading and writing the
 * database. The file is either whole or not there.
 *
 * @throws not_found for the database, refused where the file exists, unavailable
 */
export async function backup(path: string, file: string): Promise<Contents> {
  if (!existsSync(path)) throw new PromptdError("not_found", `there is no database ${path}`);
  refuseExisting(file);
  return beside(file, async (copy) => {
    await patiently(path, async () => copyDatabase(path, copy));
    await sync(copy);
    const contents = await patiently(copy, async () => using(new SqliteFile(copy), count));
    await place(copy, file);
    return contents;
  });
}

/**
 * Puts a copy in the place of all that a SQLite database holds, in one
 * transaction: processes that have it open see either the one or the other. The
 * database is made where there is none.
 *
 * @throws not_found for the file, refused where it is no copy of a registry or of a newer promptd, unavailable
 */
export async function restore(path: string, file: string): Promise<Contents> {
  refuseUnfinished(file);
  return beside(path, async (copy) => {
    await copyFile(file, copy).catch((cause: Error) => {
      throw new PromptdError("refused", `${file} cannot be read: ${cause.message}`, { cause });
    });
    await chmod(copy, 0o600);
    await patiently(copy, async () => using(new SqliteFile(copy), (db) => requireSound(db, file)));
    await migrateFile(copy);
    await migrateFile(path).catch((error: unknown) => {
      throw damaged(error, path);
    });
    return patiently(path, async () => {
      const db = openSqliteFile(path);
      try {
        db.run("attach database ? as copy", [copy]);
        return await db.transaction("immediate", async () => takeOver(db));
      } finally {
        db.close();
      }
    });
  });
}

function copyDatabase(path: string, copy: string): void {
  using(new SqliteFile(path), (db) => {
    requireRegistry(db, path);
    db.run("vacuum into ?", [copy]);
  });
}

/** @throws refused */
function requireSound(db: SqliteFile, file: string): void {
  let sound: boolean;
  try {
    requireRegistry(db, file);
    const [check] = db.all<{ integrity_check: string }>("pragma integrity_check(1)");
    sound = check?.integrity_check === "ok" && db.all("pragma foreign_key_check").length === 0;
  } catch (cause) {
    if (cause instanceof PromptdError) throw cause;
    throw new PromptdError("refused", `${file} is no SQLite database, or is damaged`, { cause });
  }
  if (!sound) throw new PromptdError("refused", `${file} is damaged`);
}

/** @throws refused */
function requireRegistry(db: SqliteFile, file: string): void {
  const tables = db.all("select 1 from sqlite_schema where name = ?", [MIGRATION_TABLE]);
  if (tables.length === 0) {
    throw new PromptdError("refused", `${file} is not a database of promptd`);
  }
}

async function migrateFile(path: string): Promise<void> {
  const database = await SqliteDatabase.open(path);
  try {
    await database.migrate();
  } finally {
    await database.close();
  }
}

/** Nothing can be put into a file that is no database any more. */
function damaged(error: unknown, path: string): unknown {
  const fault = PromptdError.from(error).cause;
  const cause = fault instanceof DatabaseFault ? fault.cause : undefined;
  if (!/^SQLITE_(NOTADB|CORRUPT)/.test(errorCode(cause))) return error;
  const message = `the database ${path} is damaged: stop promptd, move it and its -wal and -shm files away, and restore again`;
  return new PromptdError("refused", message, { cause });
}

/** Both have run the same migrations, so their columns are the same in number and order. */
function takeOver(db: SqliteFile): Contents {
  for (const table of TABLES.toReversed()) db.exec(`delete from main.${table}`);
  for (const table of TABLES) db.exec(`insert into main.${table} select * from copy.${table}`);
  return count(db);
}

function count(db: SqliteFile): Contents {
  const [contents] = db.all<Contents>(`select
    (select count(*) from prompts where version_count > 0) as prompts,
    (select count(*) from versions) as versions,
    (select count(*) from changes) as changes`);
  return { prompts: 0, versions: 0, changes: 0, ...contents };
}

function using<Result>(file: SqliteFile, work: (file: SqliteFile) => Result): Result {
  try {
    return work(file);
  } finally {
    file.close();
  }
}

/** Gives work a private file of its own in a file's directory, and takes it away in the end. */
async function beside<Result>(
  file: string,
  work: (copy: string) => Promise<Result>,
): Promise<Result> {
  const directory = dirname(resolve(file));
  let workplace: string | undefined;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    workplace = await mkdtemp(join(directory, ".promptd-"));
    const copy = join(workplace, "copy.db");
    await makePrivateFile(copy);
    return await work(copy);
  } catch (error) {
    throw translated(error, file);
  } finally {
    if (workplace !== undefined) await rm(workplace, { recursive: true, force: true });
  }
}

/** Moves a finished copy to its name, which nobody may have taken meanwhile. */
async function place(copy: string, file: string): Promise<void> {
  const claim = await open(file, "wx").catch((cause) => {
    refuseExisting(file);
    throw cause;
  });
  await claim.close();
  await rename(copy, file);
  await sync(dirname(resolve(file)));
}

/** @throws refused */
function refuseExisting(file: string): void {
  if (!existsSync(file)) return;
  throw new PromptdError("refused", `${file} exists already; name a new file`);
}

/** @throws not_found, refused where a part of the data is still in a write-ahead log */
function refuseUnfinished(file: string): void {
  if (!existsSync(file)) throw new PromptdError("not_found", `there is no file ${file}`);
  const log = statSync(`${file}-wal`, { throwIfNoEntry: false });
  if (log === undefined || log.size === 0) return;
  throw new PromptdError(
    "refused",
    `${file} is a database in use, and ${file}-wal holds its last changes; make a copy with promptd backup`,
  );
}

/** Waits until a file, or the names in a directory, are on the disk. */
async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
