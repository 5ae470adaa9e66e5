import { type Kysely, sql } from "kysely";
import { beforeEach, expect, it } from "vitest";
import { verifyChanges } from "../../src/store/change-chain.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import type { Tables } from "../../src/store/schema.ts";
import { promptd } from "../cli/promptd.ts";
import { describeOnBoth } from "./on-both.ts";

const caller = { project: "default", actor: "tester", origin: "192.0.2.1" };
/** As changes were before they had an origin. */
const nowhere = { project: "default", actor: "tester" };

describeOnBoth("the history", (subject) => {
  beforeEach(async () => {
    const registry = new Registry(subject.database);
    for (let i = 1; i <= 5; i++) {
      const body = {
        type: "text" as const,
        format: "mustache" as const,
        template: `ü ${i}`,
        config: {},
      };
      const commitMessage = `why ${i} 🙂`;
      const version = { name: "p", body, labels: ["a"], commitMessage };
      await registry.createVersion(i <= 2 ? nowhere : caller, version);
    }
  });

  const tamper = (change: (db: Kysely<Tables>) => Promise<unknown>) =>
    subject.database.transaction(undefined, (db) => change(db));

  it("is whole, and its head moves with every change", async () => {
    const before = await verifyChanges(subject.database);
    expect(before).toEqual({ changes: 5, head: expect.stringMatching(/^[0-9a-f]{64}$/) });
    await new Registry(subject.database).setTags(caller, { name: "p", tags: ["t"], reason: "" });
    const after = await verifyChanges(subject.database);
    expect(after.changes).toBe(6);
    expect(after.head).not.toBe(before.head);
  });

  it.each([
    ["actor", "somebody else"],
    ["reason", "another reason"],
    ["name", "q"],
    ["kind", "tags_set"],
    ["created_at", 1],
    ["detail", "{}"],
    ["origin", "192.0.2.2"],
    ["origin", null],
    ["hash", "0".repeat(64)],
  ] as const)("shows that the %s of a change was altered", async (column, value) => {
    await tamper((db) =>
      db
        .updateTable("changes")
        .set({ [column]: value })
        .where("revision", "=", 3)
        .execute(),
    );
    await expect(verifyChanges(subject.database)).rejects.toThrow("change 3 was altered");
  });

  it.each([1, 3, 5])("shows that change %i is missing", async (revision) => {
    await tamper((db) => db.deleteFrom("changes").where("revision", "=", revision).execute());
    await expect(verifyChanges(subject.database)).rejects.toThrow(`change ${revision} is missing`);
  });

  it.each([0, -1000])("shows that change %i was put in", async (revision) => {
    await tamper(async (db) => {
      const change = await db.selectFrom("changes").selectAll().executeTakeFirstOrThrow();
      await db
        .insertInto("changes")
        .values({ ...change, revision })
        .execute();
    });
    await expect(verifyChanges(subject.database)).rejects.toThrow(`change ${revision} was put in`);
  });

  it("is verified from the command line", async () => {
    const run = () => promptd(["changes", "verify", "--database-url", subject.url]);
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

  it("shows that an origin was put to a change without one", async () => {
    await tamper((db) => db.updateTable("changes").set({ origin: "" }).execute());
    await expect(verifyChanges(subject.database)).rejects.toThrow("change 1 was altered");
  });

  /** Takes back all migrations from one on, and opens the database as a newer program does. */
  async function migratedAgain(name: string) {
    await tamper(async (db) => {
      await sql`drop index keys_by_certificate_subject`.execute(db);
      await sql`alter table keys drop column certificate_subject`.execute(db);
      await sql`drop index prompts_by_update`.execute(db);
      await sql`drop index labels_by_place`.execute(db);
      await sql`alter table labels drop column place`.execute(db);
      for (const table of ["replicas", "rollouts", "calls", "call_writers"]) {
        await sql`drop table ${sql.table(table)}`.execute(db);
      }
      for (const table of ["source_events", "source_intents", "source_prompts", "sources"]) {
        await sql`drop table ${sql.table(table)}`.execute(db);
      }
      await sql`drop table pending_changes`.execute(db);
      await sql`drop table label_policies`.execute(db);
      await sql`delete from promptd_migrations where name >= ${name}`.execute(db);
    });
    await subject.database.close();
    subject.database = await openDatabase(subject.url);
    expect(await subject.database.migrate()).toContain(name);
  }

  it("that is older than the chain is put into it", async () => {
    await tamper(async (db) => {
      await sql`alter table changes drop column hash`.execute(db);
      await sql`alter table changes drop column origin`.execute(db);
    });
    await migratedAgain("0003_change_chain");
    expect((await verifyChanges(subject.database)).changes).toBe(5);
  });

  it("that is older than origins keeps its hashes", async () => {
    await tamper(async (db) => {
      await db.deleteFrom("changes").where("origin", "is not", null).execute();
      await db.updateTable("database").set({ revision: 2 }).execute();
      await sql`alter table changes drop column origin`.execute(db);
    });
    await migratedAgain("0004_change_origin");
    expect((await verifyChanges(subject.database)).changes).toBe(2);
  });
});
