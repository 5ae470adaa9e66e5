import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import type { SqliteStatement } from "kysely";
import Libsql from "libsql";
import { LRUCache } from "lru-cache";

/**
 * How long libsql itself waits for a lock. It blocks the whole process while it
 * does, so anything longer is waited for outside of it.
 */
const BUSY_TIMEOUT_MS = 5;

/** Statements kept prepared. Few texts occur; those with `in (…)` differ by the length of the list. */
const PREPARED_STATEMENTS = 200;

/** What is acknowledged survives the loss of power, and reads do not wait for writes. */
const REGISTRY_SETTINGS =
  "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on";

/** One connection to a SQLite file, made when missing. */
export class SqliteFile {
  readonly #path: string;
  readonly #settings: string;
  readonly #statements = new LRUCache<string, SqliteStatement>({ max: PREPARED_STATEMENTS });
  #libsql: Libsql.Database;
  #stuck = false;

  /** @param settings statements to run first */
  constructor(path: string, settings = "") {
    this.#path = path;
    this.#settings = settings;
    this.#libsql = this.#open();
  }

  /** A statement that is kept and run again. */
  prepare(sql: string): SqliteStatement {
    this.#renew();
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#statement(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Runs statements without parameters or results. */
  exec(sql: string): void {
    this.#renew();
    this.#libsql.exec(sql);
  }

  /** @param mode whether the write lock is taken at once, or the transaction only reads */
  async transaction<Result>(
    mode: "immediate" | "deferred",
    work: () => Promise<Result>,
  ): Promise<Result> {
    this.exec(`begin ${mode}`);
    try {
      const result = await work();
      this.exec("commit");
      return result;
    } catch (error) {
      // SQLite has ended it by itself where the disk failed or was full.
      if (this.#libsql.inTransaction) this.exec("rollback");
      throw error;
    }
  }

  /** Runs a statement that is not worth keeping. */
  run(sql: string, parameters: readonly unknown[] = []): void {
    this.#renew();
    this.#statement(sql).run(parameters);
  }

  /** The rows of a statement that is not worth keeping. */
  all<Row>(sql: string, parameters: readonly unknown[] = []): Row[] {
    this.#renew();
    return this.#statement(sql).all(parameters) as Row[];
  }

  /** May be called again. */
  close(): void {
    this.#statements.clear();
    if (this.#libsql.open) this.#libsql.close();
  }

  #statement(sql: string): SqliteStatement {
    return new Statement(this.#libsql.prepare(sql), () => {
      this.#stuck = true;
    });
  }

  /**
   * libsql leaves a statement that found the database locked in the middle of
   * its run. As long as it counts as running, whatever the connection reads next
   * is never let go of: it would go on to see that state, and could not write.
   */
  #renew(): void {
    if (!this.#stuck || this.#libsql.inTransaction) return;
    this.close();
    this.#libsql = this.#open();
    this.#stuck = false;
  }

  #open(): Libsql.Database {
    const libsql = new Libsql(this.#path, { timeout: BUSY_TIMEOUT_MS });
    try {
      libsql.exec(this.#settings);
      return libsql;
    } catch (error) {
      libsql.close();
      throw error;
    }
  }
}

class Statement implements SqliteStatement {
  readonly reader: boolean;
  readonly #statement: Libsql.Statement<unknown[]>;
  readonly #onLocked: () => void;

  constructor(statement: Libsql.Statement<unknown[]>, onLocked: () => void) {
    this.#statement = statement;
    this.#onLocked = onLocked;
    this.reader = statement.reader;
  }

  all(parameters: readonly unknown[]): unknown[] {
    return this.#attempt(() => this.#statement.all(checked(parameters)));
  }

  run(parameters: readonly unknown[]): Libsql.RunResult {
    return this.#attempt(() => this.#statement.run(checked(parameters)));
  }

  /** A statement that is not read to its end would keep its snapshot open. */
  iterate(): never {
    throw new Error("results are not streamed");
  }

  #attempt<Result>(run: () => Result): Result {
    try {
      return run();
    } catch (error) {
      if (isLocked(error)) this.#onLocked();
      throw error;
    }
  }
}

/** libsql cuts a text at U+0000 without a word, and ends the process over a boolean. */
function checked(parameters: readonly unknown[]): readonly unknown[] {
  for (const value of parameters) {
    const holds =
      typeof value === "string"
        ? !value.includes("\u0000")
        : typeof value === "number" || value === null;
    if (!holds) throw new TypeError("SQLite is given numbers, null and texts without U+0000 only");
  }
  return parameters;
}

/** The name of a SQLite result or of a system error, such as SQLITE_BUSY or ENOSPC. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error && "code" in error)) return "";
  // libsql has no name for some extended codes; the lowest byte is the result that they refine.
  const base = "rawCode" in error ? RESULT_NAMES[Number(error.rawCode) & 0xff] : undefined;
  return String(error.code).startsWith("UNKNOWN") ? (base ?? "") : String(error.code);
}

/** https://www.sqlite.org/rescode.html */
const RESULT_NAMES: Record<number, string> = {
  3: "SQLITE_PERM",
  5: "SQLITE_BUSY",
  6: "SQLITE_LOCKED",
  8: "SQLITE_READONLY",
  10: "SQLITE_IOERR",
  11: "SQLITE_CORRUPT",
  13: "SQLITE_FULL",
  14: "SQLITE_CANTOPEN",
  15: "SQLITE_PROTOCOL",
  26: "SQLITE_NOTADB",
};

/** Whether another connection was in the way. */
export function isLocked(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(errorCode(error));
}

/** Opens a file as the registry is kept. */
export function openSqliteFile(path: string): SqliteFile {
  return new SqliteFile(path, REGISTRY_SETTINGS);
}

/** Makes an empty file where there is none, and the directories above it, for nobody but the owner. */
export async function makePrivateFile(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, "a", 0o600);
  await file.close();
}
