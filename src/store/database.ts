import type { Kysely, RawBuilder } from "kysely";
import { PromptdError } from "../core/errors.ts";
import type { MigrationState } from "./migrations.ts";
import type { Tables } from "./schema.ts";

/** What a query runs on. */
export type Connection = Kysely<Tables>;

type Work<Result> = (db: Connection) => Promise<Result>;

/**
 * An open database of either kind. Work is not begun once its signal was
 * aborted. Work may run again when another process was in its way, so it
 * changes nothing but the database.
 *
 * @throws unavailable where the database cannot be reached, canceled
 */
export interface Database {
  /** Runs one statement. */
  query<Result>(signal: AbortSignal | undefined, work: Work<Result>): Promise<Result>;
  /** Runs statements that only read, all in the same state of the database. */
  snapshot<Result>(signal: AbortSignal | undefined, work: Work<Result>): Promise<Result>;
  /**
   * Runs statements that apply together or not at all. One transaction at a
   * time, over all processes: it reads nothing that another one will change.
   */
  transaction<Result>(signal: AbortSignal | undefined, work: Work<Result>): Promise<Result>;
  /**
   * Runs one statement that writes what is soon written again. It may be lost with
   * the machine's power, so that SQLite does not make the disk wait for it.
   */
  note<Result>(signal: AbortSignal | undefined, work: Work<Result>): Promise<Result>;
  /** Milliseconds since 1970 by the clock that all who use the database share, for a statement. */
  readonly clock: RawBuilder<number>;
  /** Runs the pending migrations and tells their names. @throws refused where the database is newer */
  migrate(): Promise<string[]>;
  /** @throws refused where the database is newer */
  migrationState(): Promise<MigrationState>;
  /** Waits for what runs. Nothing may be begun afterwards. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** Told of faults that no caller waits for. */
  onFault?: (message: string, cause: unknown) => void;
  /** How long a transaction waits for those of other processes, in milliseconds. */
  lockTimeout?: number;
}

/**
 * What is wrong with a database, and where that is. It is the cause of what
 * callers are told: for the log, and for commands that open the database.
 */
export class DatabaseFault extends Error {
  override readonly name = "DatabaseFault";
}

/** @param told to callers, who need not know where the database is */
export function unavailable(told: string, fault: string, cause?: unknown): PromptdError {
  return new PromptdError("unavailable", told, { cause: new DatabaseFault(fault, { cause }) });
}

export function invalidUrl(description: string): PromptdError {
  return PromptdError.invalid({ field: "database_url", description });
}
