import type { Selectable } from "kysely";
import type { ChangeKind } from "../core/change.ts";
import { PromptdError } from "../core/errors.ts";
import type { Key } from "../core/keys.ts";
import type { Caller, KeyStore, NewKey, Page } from "../core/ports.ts";
import { appendChange } from "./change-log.ts";
import type { Connection, Database } from "./database.ts";
import type { Tables } from "./schema.ts";
import { requireProject } from "./standing.ts";

type Row = Selectable<Tables["keys"]>;

/** Keys in promptd's own database. */
export class Keys implements KeyStore {
  readonly #database: Database;
  readonly #now: () => number;

  /** @param now milliseconds since 1970 */
  constructor(database: Database, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  async anyKey(): Promise<boolean> {
    const row = await this.#database.query(undefined, (db) =>
      db.selectFrom("keys").select("id").limit(1).executeTakeFirst(),
    );
    return row !== undefined;
  }

  async findKey(secretHash: string): Promise<{ key: Key; secretHash: string } | undefined> {
    const row = await this.#database.query(undefined, (db) =>
      db.selectFrom("keys").selectAll().where("secret_hash", "=", secretHash).executeTakeFirst(),
    );
    return row && { key: toKey(row), secretHash: row.secret_hash };
  }

  async hasProject(id: string): Promise<boolean> {
    const row = await this.#database.query(undefined, (db) =>
      db.selectFrom("projects").select("id").where("id", "=", id).executeTakeFirst(),
    );
    return row !== undefined;
  }

  async findCertificateKey(subject: string): Promise<Key | undefined> {
    const row = await this.#database.query(undefined, (db) => ofSubject(db, subject));
    return row && toKey(row);
  }

  createKey(caller: Caller, key: NewKey): Promise<Key> {
    return this.#database.transaction(caller.signal, async (db) => {
      await requireProject(db, caller.project);
      const { certificateSubject } = key;
      const taken = certificateSubject && (await ofSubject(db, certificateSubject));
      if (taken) {
        const message = `key ${taken.id} of project ${taken.project} has this certificate subject: revoke it first`;
        throw new PromptdError("refused", message);
      }
      const row: Row = {
        id: key.id,
        project: caller.project,
        name: key.name,
        secret_hash: key.secretHash,
        grant: JSON.stringify({ scopes: key.scopes, promptPatterns: key.promptPatterns }),
        creator: caller.actor,
        created_at: this.#now(),
        expires_at: key.expiresAt?.getTime() ?? null,
        revoked_at: null,
        last_used_at: null,
        certificate_subject: certificateSubject ?? null,
      };
      await db.insertInto("keys").values(row).execute();
      await this.#record(db, caller, "key_created", row, key.name);
      return toKey(row);
    });
  }

  listKeys(caller: Caller, page: { size: number; after?: string }): Promise<Page<Key, string>> {
    return this.#database.query(caller.signal, async (db) => {
      const rows = await db
        .selectFrom("keys")
        .selectAll()
        .where("project", "=", caller.project)
        .where("id", ">", page.after ?? "")
        .orderBy("id")
        .limit(page.size + 1)
        .execute();
      const items = rows.slice(0, page.size).map(toKey);
      const last = items.at(-1);
      return rows.length > page.size && last !== undefined ? { items, next: last.id } : { items };
    });
  }

  revokeKey(caller: Caller, id: string, reason: string): Promise<Key> {
    return this.#change(caller, id, async (db, row) => {
      if (row.revoked_at !== null) return row;
      await this.#record(db, caller, "key_revoked", row, reason);
      return { ...row, revoked_at: this.#now() };
    });
  }

  rotateKey(caller: Caller, id: string, secretHash: string, reason: string): Promise<Key> {
    return this.#change(caller, id, async (db, row) => {
      if (row.revoked_at !== null) {
        throw new PromptdError("refused", `key ${id} is revoked: create another one`);
      }
      if (row.certificate_subject !== null) {
        const message = `key ${id} is a certificate's and has no secret: renew the certificate`;
        throw new PromptdError("refused", message);
      }
      await this.#record(db, caller, "key_rotated", row, reason);
      return { ...row, secret_hash: secretHash };
    });
  }

  async noteUse(caller: Caller, id: string, at: Date): Promise<void> {
    await this.#database.transaction(undefined, (db) =>
      db
        .updateTable("keys")
        .set({ last_used_at: at.getTime() })
        .where("project", "=", caller.project)
        .where("id", "=", id)
        .execute(),
    );
  }

  /** Writes what the change makes of a key of the caller's project. @throws not_found */
  #change(
    caller: Caller,
    id: string,
    change: (db: Connection, row: Row) => Promise<Row>,
  ): Promise<Key> {
    return this.#database.transaction(caller.signal, async (db) => {
      const row = await db
        .selectFrom("keys")
        .selectAll()
        .where("project", "=", caller.project)
        .where("id", "=", id)
        .executeTakeFirst();
      if (row === undefined) throw new PromptdError("not_found", `key "${id}" does not exist`);
      const { secret_hash, revoked_at, ...rest } = await change(db, row);
      await db.updateTable("keys").set({ secret_hash, revoked_at }).where("id", "=", id).execute();
      return toKey({ ...rest, secret_hash, revoked_at });
    });
  }

  async #record(
    db: Connection,
    { project, actor, origin }: Caller,
    kind: ChangeKind,
    row: Row,
    reason: string,
  ): Promise<void> {
    const { id, name, scopes, promptPatterns, expiresAt, certificateSubject } = toKey(row);
    const grant = {
      name,
      scopes,
      promptPatterns,
      ...(expiresAt && { expiresAt }),
      ...(certificateSubject && { certificateSubject }),
    };
    const who = { actor, origin, reason, createdAt: this.#now() };
    const change = { kind, ...who, versions: [], labels: [], grant };
    await appendChange(db, { project, name: id }, change);
  }
}

function ofSubject(db: Connection, subject: string): Promise<Row | undefined> {
  return db
    .selectFrom("keys")
    .selectAll()
    .where("certificate_subject", "=", subject)
    .where("revoked_at", "is", null)
    .executeTakeFirst();
}

function toKey(row: Row): Key {
  const { scopes, promptPatterns } = JSON.parse(row.grant) as Pick<
    Key,
    "scopes" | "promptPatterns"
  >;
  return {
    id: row.id,
    name: row.name,
    project: row.project,
    scopes,
    promptPatterns,
    creator: row.creator,
    createdAt: new Date(row.created_at),
    ...(row.expires_at !== null && { expiresAt: new Date(row.expires_at) }),
    ...(row.revoked_at !== null && { revokedAt: new Date(row.revoked_at) }),
    ...(row.last_used_at !== null && { lastUsedAt: new Date(row.last_used_at) }),
    ...(row.certificate_subject !== null && { certificateSubject: row.certificate_subject }),
  };
}
