import { randomUUID } from "node:crypto";
import { type Kysely, type Migration, Migrator, type RawBuilder, sql } from "kysely";
import { PromptdError } from "../core/errors.ts";
import { chainChanges } from "./change-chain.ts";
import type { Tables } from "./schema.ts";

/** What differs between the databases where a table is made. */
export interface SchemaTypes {
  /** A text that is compared and ordered by its UTF-8 bytes. */
  bytewiseText: RawBuilder<string>;
}

/** By name, in the order of which they run. One that was released is never edited. */
const MIGRATIONS: Record<string, (db: Kysely<Tables>, types: SchemaTypes) => Promise<void>> = {
  "0001_registry": createRegistry,
  "0002_keys": createKeys,
  "0003_change_chain": chainHistory,
  "0004_change_origin": addChangeOrigin,
  "0005_label_policy": createLabelPolicy,
  "0006_certificate_keys": addCertificateSubjects,
  "0007_label_places": addLabelPlaces,
  "0008_sources": createSources,
  "0009_replicas": createReplicas,
  "0010_rollouts": createRollouts,
  "0011_calls": createCalls,
  "0012_label_place_index": indexLabelPlaces,
};

export const MIGRATION_TABLE = "promptd_migrations";
const MIGRATION_LOCK_TABLE = "promptd_migration_lock";

export interface MigrationState {
  /** Names, in order. */
  applied: string[];
  pending: string[];
}

/** @throws refused where the database is newer than this program */
export async function migrationState(db: Kysely<Tables>): Promise<MigrationState> {
  const applied = await appliedMigrations(db);
  const unknown = applied.filter((name) => !Object.hasOwn(MIGRATIONS, name));
  if (unknown.length > 0) {
    throw new PromptdError(
      "refused",
      `the database was written by a newer promptd: it has ${unknown.join(", ")}, ` +
        `and this one knows up to ${Object.keys(MIGRATIONS).at(-1)}; run the newer one`,
    );
  }
  const pending = Object.keys(MIGRATIONS).filter((name) => !applied.includes(name));
  return { applied, pending };
}

/**
 * Runs what is pending, all or nothing, and tells its names. Processes that do
 * it at the same time wait for each other.
 *
 * @throws refused where the database is newer than this program
 */
export async function migrate(db: Kysely<Tables>, types: SchemaTypes): Promise<string[]> {
  if ((await migrationState(db)).pending.length === 0) return [];
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => bound(types) },
    migrationTableName: MIGRATION_TABLE,
    migrationLockTableName: MIGRATION_LOCK_TABLE,
  });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
  return results.map((result) => result.migrationName);
}

function bound(types: SchemaTypes): Record<string, Migration> {
  return Object.fromEntries(
    Object.entries(MIGRATIONS).map(([name, up]) => [name, { up: (db) => up(db, types) }]),
  );
}

async function appliedMigrations(db: Kysely<Tables>): Promise<string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables.some((table) => table.name === MIGRATION_TABLE)) return [];
  const applied = await sql<{ name: string }>`
    select name from ${sql.table(MIGRATION_TABLE)} order by name`.execute(db);
  return applied.rows.map((row) => row.name);
}

async function createRegistry(db: Kysely<Tables>, { bytewiseText }: SchemaTypes): Promise<void> {
  await db.schema
    .createTable("database")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("revision", "bigint", (column) => column.notNull())
    .execute();
  await db.insertInto("database").values({ id: randomUUID(), revision: 0 }).execute();

  await db.schema
    .createTable("projects")
    .addColumn("id", bytewiseText, (column) => column.primaryKey())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await db.insertInto("projects").values({ id: "default", created_at: Date.now() }).execute();

  await db.schema
    .createTable("prompts")
    .addColumn("project", bytewiseText, (column) => column.notNull().references("projects.id"))
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("type", "text", (column) => column.notNull())
    .addColumn("revision", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("last_version", "bigint", (column) => column.notNull())
    .addColumn("version_count", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("prompts_key", ["project", "name"])
    .execute();

  await db.schema
    .createTable("versions")
    .addColumn("project", bytewiseText, (column) => column.notNull())
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("number", "bigint", (column) => column.notNull())
    .addColumn("format", "text", (column) => column.notNull())
    .addColumn("content_hash", "text", (column) => column.notNull())
    .addColumn("commit_message", "text", (column) => column.notNull())
    .addColumn("author", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    // Last: SQLite walks over what stands before a column to read it.
    .addColumn("body", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("versions_key", ["project", "name", "number"])
    .addForeignKeyConstraint("versions_prompt", ["project", "name"], "prompts", ["project", "name"])
    .execute();

  await db.schema
    .createTable("labels")
    .addColumn("project", bytewiseText, (column) => column.notNull())
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("label", bytewiseText, (column) => column.notNull())
    .addColumn("version", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("labels_key", ["project", "name", "label"])
    .addForeignKeyConstraint("labels_version", ["project", "name", "version"], "versions", [
      "project",
      "name",
      "number",
    ])
    .execute();
  await db.schema
    .createIndex("labels_by_version")
    .on("labels")
    .columns(["project", "name", "version", "label"])
    .execute();
  await db.schema
    .createIndex("labels_by_label")
    .on("labels")
    .columns(["project", "label", "name"])
    .execute();

  await db.schema
    .createTable("tags")
    .addColumn("project", bytewiseText, (column) => column.notNull())
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("tag", bytewiseText, (column) => column.notNull())
    .addColumn("position", "integer", (column) => column.notNull())
    .addPrimaryKeyConstraint("tags_key", ["project", "name", "tag"])
    .addForeignKeyConstraint("tags_prompt", ["project", "name"], "prompts", ["project", "name"])
    .execute();
  await db.schema
    .createIndex("tags_by_tag")
    .on("tags")
    .columns(["project", "tag", "name"])
    .execute();

  await db.schema
    .createTable("dependencies")
    .addColumn("project", bytewiseText, (column) => column.notNull())
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("version", "bigint", (column) => column.notNull())
    .addColumn("position", "integer", (column) => column.notNull())
    .addColumn("child_name", bytewiseText, (column) => column.notNull())
    .addColumn("child_label", bytewiseText)
    .addColumn("child_version", "bigint")
    .addPrimaryKeyConstraint("dependencies_key", ["project", "name", "version", "position"])
    .addForeignKeyConstraint("dependencies_version", ["project", "name", "version"], "versions", [
      "project",
      "name",
      "number",
    ])
    .execute();
  await db.schema
    .createIndex("dependencies_by_child")
    .on("dependencies")
    .columns(["project", "child_name"])
    .execute();

  await db.schema
    .createTable("changes")
    .addColumn("revision", "bigint", (column) => column.primaryKey())
    .addColumn("project", bytewiseText, (column) => column.notNull().references("projects.id"))
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("actor", "text", (column) => column.notNull())
    .addColumn("reason", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("detail", "text", (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex("changes_by_project")
    .on("changes")
    .columns(["project", "revision"])
    .execute();
  await db.schema
    .createIndex("changes_by_prompt")
    .on("changes")
    .columns(["project", "name", "revision"])
    .execute();
}

async function createKeys(db: Kysely<Tables>, { bytewiseText }: SchemaTypes): Promise<void> {
  await db.schema
    .createTable("keys")
    .addColumn("id", bytewiseText, (column) => column.primaryKey())
    .addColumn("project", bytewiseText, (column) => column.notNull().references("projects.id"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("secret_hash", "text", (column) => column.notNull().unique())
    .addColumn("grant", "text", (column) => column.notNull())
    .addColumn("creator", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("expires_at", "bigint")
    .addColumn("revoked_at", "bigint")
    .addColumn("last_used_at", "bigint")
    .execute();
  await db.schema.createIndex("keys_by_project").on("keys").columns(["project", "id"]).execute();
}

async function chainHistory(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .alterTable("changes")
    .addColumn("hash", "text", (column) => column.notNull().defaultTo(""))
    .execute();
  await chainChanges(db);
}

async function addChangeOrigin(db: Kysely<Tables>): Promise<void> {
  await db.schema.alterTable("changes").addColumn("origin", "text").execute();
}

async function createLabelPolicy(db: Kysely<Tables>, { bytewiseText }: SchemaTypes): Promise<void> {
  await db.schema
    .createTable("label_policies")
    .addColumn("project", bytewiseText, (column) => column.notNull().references("projects.id"))
    .addColumn("label", bytewiseText, (column) => column.notNull())
    .addColumn("approval", "integer", (column) => column.notNull())
    .addPrimaryKeyConstraint("label_policies_key", ["project", "label"])
    .execute();

  await db.schema
    .createTable("pending_changes")
    .addColumn("id", bytewiseText, (column) => column.primaryKey())
    .addColumn("project", bytewiseText, (column) => column.notNull())
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("moves", "text", (column) => column.notNull())
    .addColumn("reason", "text", (column) => column.notNull())
    .addColumn("author", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addForeignKeyConstraint("pending_changes_prompt", ["project", "name"], "prompts", [
      "project",
      "name",
    ])
    .execute();
  await db.schema
    .createIndex("pending_changes_by_project")
    .on("pending_changes")
    .columns(["project", "id"])
    .execute();
}

async function addCertificateSubjects(
  db: Kysely<Tables>,
  { bytewiseText }: SchemaTypes,
): Promise<void> {
  await db.schema.alterTable("keys").addColumn("certificate_subject", bytewiseText).execute();
  await db.schema
    .createIndex("keys_by_certificate_subject")
    .unique()
    .on("keys")
    .column("certificate_subject")
    // A revoked key leaves its subject to another one.
    .where(sql.ref("revoked_at"), "is", null)
    .execute();
}

async function addLabelPlaces(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .alterTable("labels")
    .addColumn("place", "bigint", (column) => column.notNull().defaultTo(0))
    .execute();
  await db.updateTable("labels").set({ place: 1 }).where("label", "=", "latest").execute();
  // For those who ask again and again what has changed.
  await db.schema
    .createIndex("prompts_by_update")
    .on("prompts")
    .columns(["project", "updated_at"])
    .execute();
}

async function createSources(db: Kysely<Tables>, { bytewiseText }: SchemaTypes): Promise<void> {
  await db.schema
    .createTable("sources")
    .addColumn("project", bytewiseText, (column) => column.primaryKey().references("projects.id"))
    .addColumn("watermark", "bigint")
    .addColumn("holder", "text")
    .addColumn("held_until", "bigint", (column) => column.notNull())
    .execute();

  await db.schema
    .createTable("source_prompts")
    .addColumn("project", bytewiseText, (column) => column.notNull().references("projects.id"))
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("fingerprint", "text", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("revision", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("source_prompts_key", ["project", "name"])
    .execute();

  await db.schema
    .createTable("source_intents")
    .addColumn("project", bytewiseText, (column) => column.notNull().references("projects.id"))
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("id", "text", (column) => column.notNull())
    .addColumn("actor", "text", (column) => column.notNull())
    .addColumn("origin", "text")
    .addColumn("expires_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("source_intents_key", ["project", "name"])
    .execute();

  await db.schema
    .createTable("source_events")
    .addColumn("project", bytewiseText, (column) => column.notNull().references("projects.id"))
    .addColumn("id", bytewiseText, (column) => column.notNull())
    .addColumn("received_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("source_events_key", ["project", "id"])
    .execute();
}

async function createReplicas(db: Kysely<Tables>, { bytewiseText }: SchemaTypes): Promise<void> {
  await db.schema
    .createTable("replicas")
    .addColumn("id", bytewiseText, (column) => column.primaryKey())
    .addColumn("applied", "bigint", (column) => column.notNull())
    .addColumn("seen_at", "bigint", (column) => column.notNull())
    .execute();
}

async function createRollouts(db: Kysely<Tables>, { bytewiseText }: SchemaTypes): Promise<void> {
  await db.schema
    .createTable("rollouts")
    .addColumn("project", bytewiseText, (column) => column.notNull().references("projects.id"))
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("label", bytewiseText, (column) => column.notNull())
    .addColumn("revision", "bigint", (column) => column.notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("rollout", "text", (column) => column.notNull())
    .addColumn("actor", "text", (column) => column.notNull())
    .addColumn("reason", "text", (column) => column.notNull())
    .addColumn("changed_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("rollouts_key", ["project", "name", "label"])
    .execute();
  await db.schema
    .createIndex("rollouts_by_state")
    .on("rollouts")
    .columns(["state", "project"])
    .execute();
}

async function createCalls(db: Kysely<Tables>, { bytewiseText }: SchemaTypes): Promise<void> {
  await db.schema
    .createTable("calls")
    .addColumn("project", bytewiseText, (column) => column.notNull())
    .addColumn("name", bytewiseText, (column) => column.notNull())
    .addColumn("version", "bigint", (column) => column.notNull())
    .addColumn("label", bytewiseText, (column) => column.notNull())
    .addColumn("arm", bytewiseText, (column) => column.notNull())
    .addColumn("calls", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("calls_key", ["project", "name", "version", "label", "arm"])
    .execute();
  await db.schema
    .createTable("call_writers")
    .addColumn("id", bytewiseText, (column) => column.primaryKey())
    .addColumn("last_number", "bigint", (column) => column.notNull())
    .addColumn("written_at", "bigint", (column) => column.notNull())
    .execute();
}

async function indexLabelPlaces(db: Kysely<Tables>): Promise<void> {
  // Each move asks for the first place of the prompt's labels, which may be 10,000.
  await db.schema
    .createIndex("labels_by_place")
    .on("labels")
    .columns(["project", "name", "place"])
    .execute();
}
