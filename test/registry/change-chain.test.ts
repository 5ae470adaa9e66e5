import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Kysely, sql } from "kysely";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { verifyChanges } from "../../src/store/change-chain.ts";
import type { Database } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import type { Tables } from "../../src/store/schema.ts";
import { promptd } from "../cli/promptd.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";

const caller = { project: "default", actor: "tester" };
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "promptd-chain-"));
});

afterEach(() => rmSync(directory, { recursive: true }));

describe.each([
  { kind: "SQLite", skip: false, url: async () => `sqlite:${join(directory, "promptd.db")}` },
  {
    kind: `PostgreSQL${postgresUrl === undefined ? SKIPPED_WITHOUT_POSTGRES : ""}`,
    skip: postgresUrl === undefined,
    url: () => createDatabase(),
  },
])("the history on $kind", ({ skip, url }) => {
  let database: Database;
  let address: string;

  beforeEach(async () => {
    if (skip) return;
    address = await url();
    database = await openDatabase(address);
    await database.migrate();
    const registry = new Registry(database);
    for (let i = 1; i <= 5; i++) {
      const body = {
        type: "text" as const,
        format: "mustache" as const,
        template: `ü ${i}`,
        config: {},
      };
      const commitMessage = `why ${i} 🙂`;
      await registry.createVersion(caller, { name: "p", body, labels: ["a"], commitMessage });
    }
  });

  afterEach(() => database?.close());

  const tamper = (change: (db: Kysely<Tables>) => Promise<unknown>) =>
    database.transaction(undefined, (db) => change(db));

  it.skipIf(skip)("is whole, and its head moves with every change", async () => {
    const before = await verifyChanges(database);
    expect(before).toEqual({ changes: 5, head: expect.stringMatching(/^[0-9a-f]{64}$/) });
    await new Registry(database).setTags(caller, { name: "p", tags: ["t"], reason: "" });
    const after = await verifyChanges(database);
    expect(after.changes).toBe(6);
    expect(after.head).not.toBe(before.head);
  });

  it.skipIf(skip).each([
    ["actor", "somebody else"],
    ["reason", "another reason"],
    ["name", "q"],
    ["kind", "tags_set"],
    ["created_at", 1],
    ["detail", "{}"],
    ["hash", "0".repeat(64)],
  ] as const)("shows that the %s of a change was altered", async (column, value) => {
    await tamper((db) =>
      db
        .updateTable("changes")
        .set({ [column]: value })
        .where("revision", "=", 3)
        .execute(),
    );
    await expect(verifyChanges(database)).rejects.toThrow("change 3 was altered");
  });

  it.skipIf(skip).each([1, 3, 5])("shows that change %i is missing", async (revision) => {
    await tamper((db) => db.deleteFrom("changes").where("revision", "=", revision).execute());
    await expect(verifyChanges(database)).rejects.toThrow(`change ${revision} is missing`);
  });

  it.skipIf(skip)("is verified from the command line", async () => {
    const run = () => promptd(["changes", "verify", "--database-url", address]);
    expect((await run()).out).toMatch(
      /^5 changes, none altered or missing; the last has the hash [0-9a-f]{64}\n$/,
    );
    await tamper((db) => sql`update changes set reason = 'x' where revision = 2`.execute(db));
    expect(await run()).toEqual({
      code: 1,
      out: "",
      err: "promptd: the history is not whole: change 2 was altered\n",
    });
  });

  it.skipIf(skip)("that is older than the chain is put into it", async () => {
    await tamper(async (db) => {
      await sql`alter table changes drop column hash`.execute(db);
      await sql`delete from promptd_migrations where name = '0003_change_chain'`.execute(db);
    });
    await database.close();
    database = await openDatabase(address);
    expect(await database.migrate()).toEqual(["0003_change_chain"]);
    expect((await verifyChanges(database)).changes).toBe(5);
  });
});
