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

/** One connection to a SQLite file, made when missing. */
export class SqliteFile {
  readonly #libsql: Libsql.Database;
  readonly #statements = new LRUCache<string, SqliteStatement>({ max: PREPARED_STATEMENTS });

  constructor(path: string) {
    this.#libsql = new Libsql(path, { timeout: BUSY_TIMEOUT_MS });
  }

  get inTransaction(): boolean {
    return this.#libsql.inTransaction;
  }

  prepare(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = new Statement(this.#libsql.prepare(sql));
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Runs statements without parameters that are not worth keeping. */
  exec(sql: string): void {
    this.#libsql.exec(sql);
  }

  /** The rows of a statement that is not worth keeping. */
  all<Row>(sql: string, parameters: readonly unknown[] = []): Row[] {
    return new Statement(this.#libsql.prepare(sql)).all(parameters) as Row[];
  }

  /** Runs a statement that is not worth keeping. */
  run(sql: string, parameters: readonly unknown[] = []): void {
    new Statement(this.#libsql.prepare(sql)).run(parameters);
  }

  /** May be called again. */
  close(): void {
    this.#statements.clear();
    if (this.#libsql.open) this.#libsql.close();
  }
}

/** A prepared statement that is kept and run again. */
class Statement implements SqliteStatement {
  readonly reader: boolean;
  readonly #statement: Libsql.Statement<unknown[]>;

  constructor(statement: Libsql.Statement<unknown[]>) {
    this.#statement = statement;
    this.reader = statement.reader;
  }

  all(parameters: readonly unknown[]): unknown[] {
    return this.#statement.all(checked(parameters));
  }

  run(parameters: readonly unknown[]): Libsql.RunResult {
    return this.#statement.run(checked(parameters));
  }

  /** A statement that is not read to its end would keep its snapshot open. */
  iterate(): never {
    throw new Error("results are not streamed");
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

/** Opens a file as the registry is kept: what was acknowledged survives the loss of power. */
export function openSqliteFile(path: string): SqliteFile {
  const file = new SqliteFile(path);
  try {
    file.exec("pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on");
  } catch (error) {
    file.close();
    throw error;
  }
  return file;
}

/** Makes an empty file where there is none, and the directories above it, for nobody but the owner. */
export async function makePrivateFile(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, "a", 0o600);
  await file.close();
}
