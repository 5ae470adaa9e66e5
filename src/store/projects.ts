import { PromptdError } from "../core/errors.ts";
import type { Database } from "./database.ts";

export interface Project {
  id: string;
  createdAt: Date;
}

/** The tenants of a database. */
export class Projects {
  readonly #database: Database;
  readonly #now: () => number;

  /** @param now milliseconds since 1970 */
  constructor(database: Database, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  /** @throws invalid for an id that is none, refused where it is taken */
  async create(id: string): Promise<Project> {
    if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(id)) {
      const description = "expected 1 to 63 characters out of a-z 0-9 -, not starting with -";
      throw PromptdError.invalid({ field: "project", description });
    }
    const created_at = this.#now();
    const inserted = await this.#database.transaction(undefined, (db) =>
      db
        .insertInto("projects")
        .values({ id, created_at })
        .onConflict((conflict) => conflict.doNothing())
        .returning("id")
        .executeTakeFirst(),
    );
    if (inserted === undefined) throw new PromptdError("refused", `project "${id}" exists already`);
    return { id, createdAt: new Date(created_at) };
  }

  /** In order of id. */
  async list(): Promise<Project[]> {
    const rows = await this.#database.query(undefined, (db) =>
      db.selectFrom("projects").selectAll().orderBy("id").execute(),
    );
    return rows.map((row) => ({ id: row.id, createdAt: new Date(row.created_at) }));
  }
}
