import { setImmediate } from "node:timers/promises";
import { Kysely, SqliteDialect, sql } from "kysely";
import pLimit from "p-limit";
import type { Connection, Database, DatabaseOptions } from "./database.ts";
import { type MigrationState, migrate, migrationState } from "./migrations.ts";
import type { Tables } from "./schema.ts";
import { makePrivateFile, openSqliteFile, type SqliteFile } from "./sqlite-file.ts";
import { LOCK_TIMEOUT_MS, patiently } from "./sqlite-lock.ts";

const TYPES = { bytewiseText: sql<string>`text` };

/**
 * A SQLite file, which other processes of the machine may have open too. One
 * connection writes and another one reads, so that a read neither waits for a
 * transaction nor sees what it has not committed.
 */
export class SqliteDatabase implements Database {
  readonly clock = sql<number>`cast(unixepoch('subsec') * 1000 as integer)`;
  readonly #path: string;
  readonly #lockTimeout: number;
  readonly #reader: Kysely<Tables>;
  readonly #writer: Kysely<Tables>;
  readonly #readerFile: SqliteFile;
  readonly #writerFile: SqliteFile;
  /** Transactions of this process wait here, in order, and only the first one tries for the lock. */
  readonly #inTurn = pLimit(1);

  /** @throws unavailable */
  static async open(path: string, options: DatabaseOptions = {}): Promise<SqliteDatabase> {
    const { lockTimeout: timeout = LOCK_TIMEOUT_MS } = options;
    const open = async () => {
      await makePrivateFile(path);
      const writer = openSqliteFile(path);
      try {
        return new SqliteDatabase(path, timeout, writer, openSqliteFile(path));
      } catch (error) {
        writer.close();
        throw error;
      }
    };
    return patiently(path, open, { timeout });
  }

  private constructor(path: string, lockTimeout: number, writer: SqliteFile, reader: SqliteFile) {
    this.#path = path;
    this.#lockTimeout = lockTimeout;
    this.#readerFile = reader;
    this.#writerFile = writer;
    this.#writer = new Kysely({ dialect: new SqliteDialect({ database: writer }) });
    this.#reader = new Kysely({ dialect: new SqliteDialect({ database: reader }) });
  }

  query<Result>(signal: AbortSignal | undefined, work: (db: Connection) => Promise<Result>) {
    return this.#patiently(signal, () => work(this.#reader));
  }

  snapshot<Result>(signal: AbortSignal | undefined, work: (db: Connection) => Promise<Result>) {
    return this.#patiently(signal, async () => {
      // SQLite answers at once: who reads page after page would never let anybody else run.
      await setImmediate();
      return this.#reader
        .connection()
        .execute((db) => this.#readerFile.transaction("deferred", () => work(db)));
    });
  }

  transaction<Result>(signal: AbortSignal | undefined, work: (db: Connection) => Promise<Result>) {
    const arrived = performance.now();
    return this.#inTurn(async () => {
      // For the same reason as in a snapshot.
      await setImmediate();
      return this.#patiently(signal, () => this.#write(work), performance.now() - arrived);
    });
  }

  note<Result>(signal: AbortSignal | undefined, work: (db: Connection) => Promise<Result>) {
    return this.#inTurn(() =>
      this.#patiently(signal, async () => {
        this.#writerFile.exec("pragma synchronous = normal");
        try {
          return await work(this.#writer);
        } finally {
          this.#writerFile.exec("pragma synchronous = full");
        }
      }),
    );
  }

  /** In one transaction, the making of the migrator's own tables included. */
  async migrate(): Promise<string[]> {
    if ((await this.migrationState()).pending.length === 0) return [];
    return this.transaction(undefined, (db) => migrate(db, TYPES));
  }

  migrationState(): Promise<MigrationState> {
    return this.#patiently(undefined, () => migrationState(this.#reader));
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => {
      // Snapshots that were asked for before are read before.
      await setImmediate();
      this.#checkpoint();
    });
    await Promise.all([this.#reader.destroy(), this.#writer.destroy()]);
    this.#readerFile.close();
    this.#writerFile.close();
  }

  /** Leaves all data in the one file, unless somebody else has it open. */
  #checkpoint(): void {
    try {
      this.#writerFile.all("pragma wal_checkpoint(truncate)");
    } catch {
      // The write-ahead log stays, and is read by whoever opens the file next.
    }
  }

  #write<Result>(work: (db: Connection) => Promise<Result>): Promise<Result> {
    return this.#writer
      .connection()
      .execute((db) => this.#writerFile.transaction("immediate", () => work(db)));
  }

  #patiently<Result>(
    signal: AbortSignal | undefined,
    work: () => Promise<Result>,
    waited = 0,
  ): Promise<Result> {
    return patiently(this.#path, work, { timeout: this.#lockTimeout - waited, signal });
  }
}
