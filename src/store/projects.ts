import { PromptdError } from "../core/errors.ts";
import type { Caller } from "../core/ports.ts";
import { appendChange } from "./change-log.ts";
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

  /**
   * Makes a project, whose history begins with that.
   *
   * @throws invalid for an id that is none, refused where it is taken
   */
  async create({ actor, origin }: Omit<Caller, "project">, id: string): Promise<Project> {
    if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(id)) {
      const description = "expected 1 to 63 characters out of a-z 0-9 -, not starting with -";
      throw PromptdError.invalid({ field: "project", description });
    }
    const now = this.#now();
    await this.#database.transaction(undefined, async (db) => {
      const inserted = await db
        .insertInto("projects")
        .values({ id, created_at: now })
        .onConflict((conflict) => conflict.doNothing())
        .returning("id")
        .executeTakeFirst();
      if (inserted === undefined) {
        throw new PromptdError("refused", `project "${id}" exists already`);
      }
      const who = { actor, origin, reason: "", createdAt: now };
      const change = { kind: "project_created" as const, ...who, versions: [], labels: [] };
      await appendChange(db, { project: id, name: id }, change);
    });
    return { id, createdAt: new Date(now) };
  }

  /** In order of id. */
  async list(): Promise<Project[]> {
    const rows = await this.#database.query(undefined, (db) =>
      db.selectFrom("projects").selectAll().orderBy("id").execute(),
    );
    return rows.map((row) => ({ id: row.id, createdAt: new Date(row.created_at) }));
  }
}
