import { CompiledQuery, sql } from "kysely";
import {
  type CallCountLookup,
  type CallCountStore,
  type CountBatch,
  MOST_BY,
  type VersionCalls,
} from "../core/call-counts.ts";
import type { Caller } from "../core/ports.ts";
import type { Connection, Database } from "./database.ts";

/** How long a write waits for its turn. */
const PATIENCE_MS = 1000;

/** Then a process is forgotten: a batch that it had sent before and sends again would be added twice. */
const FORGOTTEN_MS = 24 * 3_600_000;

/** There a count ends: what clients report is believed, and a sum that is too large would stop all others. */
const MOST = sql.lit(Number.MAX_SAFE_INTEGER);

/**
 * Counts of calls in promptd's own database.
 *
 * A batch is added once, however often it is sent: in the same transaction the number
 * of the process's last batch is written down, and one that is not above it was added
 * before. So a write whose commit nobody heard of is simply made again. Transactions
 * run one at a time over all processes, so the order of rows does not matter.
 *
 * What is told of a version of the registry goes with it. What a process adds later
 * stays, unseen, since no number is given twice. A Langfuse can give one again: then
 * the counts go on.
 */
export class CallCountRows implements CallCountStore, CallCountLookup {
  readonly #database: Database;
  /** Statements that add counts, by how many. */
  readonly #texts = new Map<number, string>();

  constructor(database: Database) {
    this.#database = database;
  }

  async add({ writer, number, counts }: CountBatch): Promise<void> {
    const { clock } = this.#database;
    await this.#database.transaction(AbortSignal.timeout(PATIENCE_MS), async (db) => {
      const added = await db
        .insertInto("call_writers")
        .values({ id: writer, last_number: number, written_at: clock })
        .onConflict((conflict) =>
          conflict
            .column("id")
            .doUpdateSet({ last_number: number, written_at: clock })
            .where("call_writers.last_number", "<", number),
        )
        .returning("id")
        .execute();
      if (added.length === 0) return;
      await addCounts(db, counts, this.#texts);
      await db
        .deleteFrom("call_writers")
        .where("written_at", "<", (where) => where(clock, "-", FORGOTTEN_MS))
        .execute();
    });
  }

  async of(
    { project, signal }: Caller,
    name: string,
    versions: readonly number[],
  ): Promise<ReadonlyMap<number, VersionCalls>> {
    if (versions.length === 0) return new Map();
    const rows = await this.#database.query(signal, (db) =>
      db
        .selectFrom((from) =>
          from
            .selectFrom("calls")
            .select(["version", "label", "arm", "calls"])
            // PostgreSQL's sum of integers is none.
            .select(sql<number>`cast(sum(calls) over (partition by version) as bigint)`.as("total"))
            .select(
              sql<number>`row_number() over (partition by version order by calls desc, label, arm)`.as(
                "place",
              ),
            )
            .where("project", "=", project)
            .where("name", "=", name)
            .where("version", "in", versions)
            .as("ranked"),
        )
        .selectAll()
        .where("place", "<=", MOST_BY)
        .orderBy("version")
        .orderBy("place")
        .execute(),
    );
    const found = new Map<number, { calls: number; by: VersionCalls["by"][number][] }>();
    for (const { version, label, arm, calls, total } of rows) {
      const known = found.get(version) ?? { calls: total, by: [] };
      known.by.push({ label, arm, calls });
      found.set(version, known);
    }
    return found;
  }
}

/**
 * Adds rows. Each of so many is the same statement, whose text is kept: to build it anew
 * took most of the time of a write.
 */
async function addCounts(
  db: Connection,
  counts: CountBatch["counts"],
  texts: Map<number, string>,
): Promise<void> {
  let text = texts.get(counts.length);
  if (text === undefined) {
    text = adding(db, counts).compile().sql;
    texts.set(counts.length, text);
  }
  const values = counts.flatMap((count) => COLUMNS.map((column) => count[column]));
  await db.executeQuery(CompiledQuery.raw(text, values));
}

const COLUMNS = ["project", "name", "version", "label", "arm", "calls"] as const;

function adding(db: Connection, counts: CountBatch["counts"]) {
  return db
    .insertInto("calls")
    .columns(COLUMNS)
    .values(
      counts.map(({ project, name, version, label, arm, calls }) => ({
        project,
        name,
        version,
        label,
        arm,
        calls,
      })),
    )
    .onConflict((conflict) =>
      conflict.columns(["project", "name", "version", "label", "arm"]).doUpdateSet({
        calls: sql<number>`case when calls.calls > ${MOST} - excluded.calls
          then ${MOST} else calls.calls + excluded.calls end`,
      }),
    );
}
