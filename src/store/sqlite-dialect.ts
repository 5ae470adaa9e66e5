import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  SqliteDialect,
  SqliteDriver,
} from "kysely";
import type { Tables } from "./schema.ts";
import type { SqliteFile } from "./sqlite-file.ts";

/** What statements of `begin` differ in: whether the write lock is taken at once. */
export type BeginMode = "deferred" | "immediate";

/** Kysely on a file. Closing it closes the file. */
export function kyselyOn(file: SqliteFile, begin: BeginMode): Kysely<Tables> {
  return new Kysely({ dialect: new LibsqlDialect(file, begin) });
}

class LibsqlDialect extends SqliteDialect {
  readonly #file: SqliteFile;
  readonly #begin: BeginMode;

  constructor(file: SqliteFile, begin: BeginMode) {
    super({ database: file });
    this.#file = file;
    this.#begin = begin;
  }

  override createDriver(): Driver {
    return new LibsqlDriver(this.#file, this.#begin);
  }
}

class LibsqlDriver extends SqliteDriver {
  readonly #file: SqliteFile;
  readonly #begin: CompiledQuery;

  constructor(file: SqliteFile, begin: BeginMode) {
    super({ database: file });
    this.#file = file;
    this.#begin = CompiledQuery.raw(`begin ${begin}`);
  }

  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(this.#begin);
  }

  /** SQLite has ended the transaction by itself where the disk failed or was full. */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.#file.inTransaction) await super.rollbackTransaction(connection);
  }
}
