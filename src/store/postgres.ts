import {
  Kysely,
  PostgresDialect,
  type PostgresPool,
  type PostgresPoolClient,
  type PostgresQueryResult,
  sql,
} from "kysely";
import pLimit from "p-limit";
import pg from "pg";
import { throwIfAborted } from "../core/errors.ts";
import {
  type Connection,
  type Database,
  type DatabaseOptions,
  invalidUrl,
  unavailable,
} from "./database.ts";
import { type MigrationState, migrate, migrationState } from "./migrations.ts";
import type { Tables } from "./schema.ts";

const CONNECTIONS = 10;
const CONNECT_TIMEOUT_MS = 3_000;
/** How long the server works on one statement, waiting for a lock included. */
const STATEMENT_TIMEOUT_MS = 5_000;
/** How long we wait for an answer; only a server or network that hangs needs longer than the above. */
const ANSWER_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 1_000;
/** A process that stopped in the middle of a transaction gives the lock back after this. */
const IDLE_TRANSACTION_TIMEOUT_MS = 10_000;
/** How long a transaction waits for its turn before it is given up. */
const LOCK_TIMEOUT_MS = 10_000;

const TYPES = { bytewiseText: sql<string>`text collate "C"` };

/** A PostgreSQL database. It need not be reachable when this is made. */
export class PostgresDatabase implements Database {
  readonly clock = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;
  readonly #url: string;
  /** What log and command line call it: without user and password. */
  readonly #place: string;
  readonly #lockTimeout: number;
  readonly #onFault: (message: string, cause: unknown) => void;
  readonly #db: Kysely<Tables>;
  /** They would wait for each other in the server anyway, and take all connections from the reads. */
  readonly #inTurn = pLimit(1);

  /** @throws invalid */
  constructor(url: string, options: DatabaseOptions = {}) {
    this.#url = url;
    this.#place = place(url);
    this.#lockTimeout = options.lockTimeout ?? LOCK_TIMEOUT_MS;
    this.#onFault = options.onFault ?? (() => {});
    this.#db = this.#connect({
      max: CONNECTIONS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
    });
  }

  async query<Result>(signal: AbortSignal | undefined, work: (db: Connection) => Promise<Result>) {
    throwIfAborted(signal);
    return work(this.#db);
  }

  async snapshot<Result>(
    signal: AbortSignal | undefined,
    work: (db: Connection) => Promise<Result>,
  ) {
    throwIfAborted(signal);
    const transaction = this.#db.transaction().setIsolationLevel("repeatable read");
    return transaction.setAccessMode("read only").execute(work);
  }

  transaction<Result>(signal: AbortSignal | undefined, work: (db: Connection) => Promise<Result>) {
    const deadline = performance.now() + this.#lockTimeout;
    return this.#inTurn(() => {
      if (performance.now() > deadline) {
        const slow = "is slow: too many changes wait";
        throw unavailable(`the database ${slow}`, `${this.#place} ${slow}`);
      }
      throwIfAborted(signal);
      // Not a snapshot: each statement sees what was committed before the lock was had.
      const transaction = this.#db.transaction().setIsolationLevel("read committed");
      return transaction.execute(async (db) => {
        await db.selectFrom("database").select("id").forUpdate().execute();
        return work(db);
      });
    });
  }

  note<Result>(signal: AbortSignal | undefined, work: (db: Connection) => Promise<Result>) {
    return this.query(signal, work);
  }

  async migrate(): Promise<string[]> {
    // A migration may take longer than a statement of the service ever should.
    const db = this.#connect({ max: 1 });
    try {
      return await migrate(db, TYPES);
    } finally {
      await db.destroy();
    }
  }

  migrationState(): Promise<MigrationState> {
    return migrationState(this.#db);
  }

  async close(): Promise<void> {
    await this.#inTurn(() => this.#db.destroy());
  }

  #connect(config: pg.PoolConfig): Kysely<Tables> {
    const pool = new pg.Pool({
      ...config,
      connectionString: this.#url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_TRANSACTION_TIMEOUT_MS,
      application_name: "promptd",
      keepAlive: true,
      types: { getTypeParser: typeParser },
    });
    pool.on("error", (cause) => {
      this.#onFault(`${this.#place} closed an idle connection`, cause);
    });
    return new Kysely({ dialect: new PostgresDialect({ pool: new Pool(pool, this.#place) }) });
  }
}

/** The pool as Kysely uses it: what it throws about the server is `unavailable`. */
class Pool implements PostgresPool {
  readonly #pool: pg.Pool;
  readonly #place: string;

  constructor(pool: pg.Pool, place: string) {
    this.#pool = pool;
    this.#place = place;
  }

  async connect(): Promise<PostgresPoolClient> {
    try {
      return new Client(await this.#pool.connect(), this.#place);
    } catch (error) {
      throw translated(error, this.#place);
    }
  }

  end(): Promise<void> {
    return this.#pool.end();
  }
}

/** A connection that is thrown away, not used again, once it has failed. */
class Client implements PostgresPoolClient {
  readonly #client: pg.PoolClient;
  readonly #place: string;
  #failure: Error | undefined;

  constructor(client: pg.PoolClient, place: string) {
    this.#client = client;
    this.#place = place;
    // Without a listener the loss of a connection in use would end the process.
    client.on("error", this.#fail);
  }

  readonly #fail = (failure: Error): void => {
    this.#failure ??= failure;
  };

  query<Row>(text: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<Row>>;
  query(cursor: never): never;
  query(text: string, parameters: readonly unknown[] = []): unknown {
    return this.#query(text, parameters);
  }

  async #query(text: string, parameters: readonly unknown[]): Promise<unknown> {
    try {
      // A rollback after the loss would wait for an answer that does not come.
      if (this.#failure !== undefined) throw this.#failure;
      return await this.#client.query(text, [...parameters]);
    } catch (error) {
      if (error instanceof Error && !(error instanceof pg.DatabaseError)) this.#fail(error);
      throw translated(error, this.#place);
    }
  }

  release(): void {
    this.#client.off("error", this.#fail);
    this.#client.release(this.#failure);
  }
}

const INT8 = 20;

/** Revisions, versions and times are far below 2^53. */
const typeParser: pg.CustomTypesConfig["getTypeParser"] = (oid, format) =>
  oid === INT8 ? Number : pg.types.getTypeParser(oid, format);

/** @throws invalid, without a word of the URL, which holds a password */
function place(url: string): string {
  if (!URL.canParse(url)) throw invalidUrl("is no URL that PostgreSQL can be reached by");
  const { host, pathname } = new URL(url);
  return `PostgreSQL (${host || "local"}${pathname})`;
}

/**
 * SQLSTATE classes and codes that speak of the server's state and not of the
 * statement: authorization, no such database, read-only, deadlock, privileges,
 * resources, lock not available, system error.
 */
const REFUSING = /^(28|3D000|25006|25P03|40|42501|53|55P03|58)/;
const QUERY_CANCELED = "57014";

/** `unavailable` for whatever is not about the statement itself. */
function translated(error: unknown, place: string): unknown {
  if (!(error instanceof Error)) return error;
  const translation = (told: string, fault = told) =>
    unavailable(`the database ${told}`, `${place} ${fault}`, error);
  // Without an answer of the server, the driver has lost it or never had it.
  if (!(error instanceof pg.DatabaseError)) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== undefined) return translation(`cannot be reached (${code})`);
    return translation("cannot be reached", `cannot be reached (${message})`);
  }
  const { code = "", message } = error;
  if (code === QUERY_CANCELED) return translation("did not answer in time");
  if (/^(08|57)/.test(code)) return translation(`cannot be reached (${code})`);
  if (!REFUSING.test(code)) return error;
  return translation(`refuses to work (${code})`, `refuses to work: ${message} (${code})`);
}
