import { ALIVE_MS, type Replicas } from "../core/replicas.ts";
import type { Connection, Database } from "./database.ts";

/** A replica that was not heard of for so long is forgotten. */
const FORGOTTEN_MS = 60_000;

/** Nothing waits for a report longer than that. */
const PATIENCE_MS = 1000;

/**
 * Replicas in promptd's own database. Times are of the database's clock, so that
 * the clocks of the replicas' machines need not agree.
 */
export class ReplicaRows implements Replicas {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async report(id: string, applied: number): Promise<void> {
    const { clock } = this.#database;
    await this.#note((db) =>
      db
        .insertInto("replicas")
        .values({ id, applied, seen_at: clock })
        .onConflict((conflict) =>
          conflict.column("id").doUpdateSet((update) => ({
            applied: update.ref("excluded.applied"),
            seen_at: update.ref("excluded.seen_at"),
          })),
        )
        .execute(),
    );
    const old = await this.#database.query(undefined, (db) =>
      db
        .selectFrom("replicas")
        .select("id")
        .where("seen_at", "<", (where) => where(clock, "-", FORGOTTEN_MS))
        .execute(),
    );
    for (const { id } of old) await this.remove(id);
  }

  async others(id: string): Promise<number[]> {
    const { clock } = this.#database;
    const rows = await this.#database.query(undefined, (db) =>
      db
        .selectFrom("replicas")
        .select("applied")
        .where("id", "!=", id)
        .where("seen_at", ">", (where) => where(clock, "-", ALIVE_MS))
        .execute(),
    );
    return rows.map(({ applied }) => applied);
  }

  async remove(id: string): Promise<void> {
    await this.#note((db) => db.deleteFrom("replicas").where("id", "=", id).execute());
  }

  #note(work: (db: Connection) => Promise<unknown>): Promise<unknown> {
    return this.#database.note(AbortSignal.timeout(PATIENCE_MS), work);
  }
}
