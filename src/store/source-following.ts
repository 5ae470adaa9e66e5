import { randomUUID } from "node:crypto";
import type { FollowedUpTo, Observed, Sighting, SourceFollowing } from "../core/source-journal.ts";
import { appendChange } from "./change-log.ts";
import type { Connection, Database } from "./database.ts";
import { keepSighting, recoverIntent } from "./source-journal.ts";

/** Sightings that one transaction compares, so that others come in between; names in one statement. */
const AT_ONCE = 200;

/** Who appends changes that were seen elsewhere. */
const WHO = { actor: "promptd", origin: "promptd" };

/** How far sources were followed, in promptd's own database. */
export class StoredSourceFollowing implements SourceFollowing {
  readonly #database: Database;
  readonly #now: () => number;
  /** This process among those that share the database. */
  readonly #id = randomUUID();

  /** @param now milliseconds since 1970 */
  constructor(database: Database, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  async hold(project: string, forMs: number): Promise<boolean> {
    const now = this.#now();
    const query = (db: Connection) =>
      db
        .selectFrom("sources")
        .select(["holder", "held_until"])
        .where("project", "=", project)
        .executeTakeFirst();
    const seen = await this.#database.query(undefined, query);
    const taken = (row: typeof seen) =>
      row !== undefined && row.holder !== this.#id && row.held_until > now;
    if (taken(seen)) return false;
    return this.#database.transaction(undefined, async (db) => {
      if (taken(await query(db))) return false;
      const held = { holder: this.#id, held_until: now + forMs };
      await db
        .insertInto("sources")
        .values({ project, watermark: null, ...held })
        .onConflict((conflict) => conflict.column("project").doUpdateSet(held))
        .execute();
      return true;
    });
  }

  async release(project: string): Promise<void> {
    await this.#database.transaction(undefined, (db) =>
      db
        .updateTable("sources")
        .set({ held_until: 0 })
        .where("project", "=", project)
        .where("holder", "=", this.#id)
        .execute(),
    );
  }

  async recover(project: string): Promise<void> {
    const now = this.#now();
    const expired = (db: Connection) =>
      db
        .selectFrom("source_intents")
        .selectAll()
        .where("project", "=", project)
        .where("expires_at", "<=", now)
        .execute();
    if ((await this.#database.query(undefined, expired)).length === 0) return;
    await this.#database.transaction(undefined, async (db) => {
      for (const intent of await expired(db)) await recoverIntent(db, intent, now);
    });
  }

  standing(project: string): Promise<FollowedUpTo> {
    return this.#database.snapshot(undefined, async (db) => {
      const { revision } = await db
        .selectFrom("database")
        .select("revision")
        .executeTakeFirstOrThrow();
      return { revision, watermark: (await watermarkOf(db, project)) ?? undefined };
    });
  }

  async sightings(
    project: string,
    names?: readonly string[],
  ): Promise<ReadonlyMap<string, Sighting>> {
    if (names?.length === 0) return new Map();
    const rows = await this.#database.query(undefined, (db) =>
      db
        .selectFrom("source_prompts")
        .select(["name", "fingerprint", "updated_at as updatedAt"])
        .where("project", "=", project)
        .$if(names !== undefined && names.length <= AT_ONCE, (query) =>
          query.where("name", "in", names ?? []),
        )
        .execute(),
    );
    return new Map(rows.map((row) => [row.name, row]));
  }

  async observe(project: string, observed: Observed): Promise<void> {
    const { sightings } = observed;
    for (let at = 0; at === 0 || at < sightings.length; at += AT_ONCE) {
      const chunk = { ...observed, sightings: sightings.slice(at, at + AT_ONCE) };
      const { watermark: _, eventId: __, doubtful: ___, ...alone } = chunk;
      const last = at + AT_ONCE >= sightings.length;
      await this.#database.transaction(undefined, (db) =>
        observe(db, project, last ? chunk : alone, this.#now()),
      );
    }
  }

  async knowsEvent(project: string, id: string): Promise<boolean> {
    const row = await this.#database.query(undefined, (db) =>
      db
        .selectFrom("source_events")
        .select("id")
        .where("project", "=", project)
        .where("id", "=", id)
        .executeTakeFirst(),
    );
    return row !== undefined;
  }

  async forgetEvents(project: string, before: number): Promise<void> {
    await this.#database.transaction(undefined, (db) =>
      db
        .deleteFrom("source_events")
        .where("project", "=", project)
        .where("received_at", "<", before)
        .execute(),
    );
  }
}

async function watermarkOf(db: Connection, project: string): Promise<number | null> {
  const row = await db
    .selectFrom("sources")
    .select("watermark")
    .where("project", "=", project)
    .executeTakeFirst();
  return row?.watermark ?? null;
}

async function observe(
  db: Connection,
  project: string,
  { sightings, since, reason, watermark, quietly = false, eventId, doubtful = [] }: Observed,
  now: number,
): Promise<void> {
  const known = await watermarkOf(db, project);
  // Another process has done it, before this one has read anything that it could be quiet about.
  if (quietly && known !== null) return;
  const detail = { versions: [], labels: [] };
  const change = { kind: "source_changed" as const, ...WHO, reason, createdAt: now, ...detail };
  for (const sighting of await unknown(db, project, sightings, since)) {
    if (!quietly) await appendChange(db, { project, name: sighting.name }, change);
    await keepSighting(db, project, sighting);
  }
  for (const name of doubtful) await appendChange(db, { project, name }, change);
  if (watermark !== undefined && (known === null || watermark > known)) {
    const row = { project, watermark, holder: null, held_until: 0 };
    await db
      .insertInto("sources")
      .values(row)
      .onConflict((conflict) => conflict.column("project").doUpdateSet({ watermark }))
      .execute();
  }
  if (eventId !== undefined) {
    await db
      .insertInto("source_events")
      .values({ project, id: eventId, received_at: now })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

/** Those that differ from what was seen before, mutations of this database aside. */
async function unknown(
  db: Connection,
  project: string,
  sightings: readonly Sighting[],
  since: number,
): Promise<Sighting[]> {
  if (sightings.length === 0) return [];
  const names = sightings.map(({ name }) => name);
  const rows = await db
    .selectFrom("source_prompts")
    .select(["name", "fingerprint", "revision"])
    .where("project", "=", project)
    .where("name", "in", names)
    .execute();
  const stored = new Map(rows.map((row) => [row.name, row]));
  const intents = await db
    .selectFrom("source_intents")
    .select("name")
    .where("project", "=", project)
    .execute();
  const underWay = new Set(intents.map(({ name }) => name));
  return sightings.filter(({ name, fingerprint }) => {
    const before = stored.get(name);
    if (underWay.has(name) || (before !== undefined && before.revision > since)) return false;
    return before?.fingerprint !== fingerprint;
  });
}
