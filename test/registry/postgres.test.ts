import pg from "pg";
import { describe, expect, it, onTestFinished } from "vitest";
import type { DatabaseOptions } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/open.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { startPostgres } from "../support/postgres-server.ts";
import { Bench, failure } from "./fixtures.ts";

const skipped = postgresUrl === undefined;

describe.skipIf(skipped)(`a PostgreSQL database${skipped ? SKIPPED_WITHOUT_POSTGRES : ""}`, () => {
  async function open(url: string, options: DatabaseOptions = {}) {
    const database = await openDatabase(url, options);
    onTestFinished(() => database.close());
    await database.migrate();
    return { database, bench: new Bench(database, { project: "default", actor: "tester" }) };
  }

  /** A session of its own, as another process would have it. */
  async function session(url: string) {
    const client = new pg.Client(url);
    // It may be ended by the test.
    client.on("error", () => {});
    await client.connect();
    onTestFinished(() => client.end());
    return client;
  }

  function withParameter(url: string, name: string, value: string): string {
    const changed = new URL(url);
    changed.searchParams.set(name, value);
    return changed.href;
  }

  it("is unavailable while the server is down, and serves again when it is back", async ({
    skip,
  }) => {
    const server = await startPostgres();
    if (server === undefined)
      return skip("no PostgreSQL is installed beside the one that was named");
    onTestFinished(() => server.remove());
    const faults: string[] = [];
    const url = await createDatabase(server.url);
    const { bench } = await open(url, { onFault: (message) => faults.push(message) });
    await bench.create("p", "1", { labels: ["production"] });

    const storm = Promise.allSettled(
      Array.from({ length: 20 }, (_, index) =>
        index % 2 === 0 ? bench.create("p", `storm ${index}`) : bench.versionOf("p", "production"),
      ),
    );
    await server.crash();
    for (const result of await storm) {
      if (result.status === "rejected")
        expect(result.reason).toMatchObject({ code: "unavailable" });
    }
    const error = await failure(bench.versionOf("p", "production"));
    expect(error.code).toBe("unavailable");
    expect(error.message).toMatch(/^the database cannot be reached( \(\w+\))?$/);
    const { host, pathname } = new URL(url);
    expect((error.cause as Error).message).toContain(
      `PostgreSQL (${host}${pathname}) cannot be reached (`,
    );
    expect((await failure(bench.create("p", "2"))).code).toBe("unavailable");

    await server.restart();
    expect(await bench.versionOf("p", "production")).toBe(1);
    await bench.create("p", "after", { labels: ["production"] });
    const revisions = (await bench.changes()).map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.map((_, index) => index + 1));
    expect(faults.every((message) => message.endsWith("closed an idle connection"))).toBe(true);
  });

  it("survives that its connections are ended, idle or in use", async () => {
    const url = await createDatabase();
    let told = () => {};
    const fault = new Promise<void>((resolve) => {
      told = resolve;
    });
    const { bench, database } = await open(url, { onFault: told });
    await bench.create("p", "1");
    const other = await session(url);
    const end = () =>
      other.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'promptd' and datname = current_database()",
      );
    await end();
    await fault;
    expect(await bench.versionOf("p", "latest")).toBe(1);

    const broken = database.transaction(undefined, async (db) => {
      await db.deleteFrom("labels").execute();
      await end();
      await db.deleteFrom("changes").execute();
    });
    expect((await failure(broken)).code).toBe("unavailable");
    expect(await bench.versionOf("p", "latest")).toBe(1);
    expect(await bench.create("p", "2")).toMatchObject({ version: 2, revision: 2 });
  });

  it("is unavailable while another process keeps the lock, and not after", async () => {
    const url = await createDatabase();
    const { bench } = await open(withParameter(url, "statement_timeout", "100"));
    await bench.create("p", "1");
    const other = await session(url);
    await other.query("begin; select * from database for update");
    const error = await failure(bench.create("p", "2"));
    expect(error.code).toBe("unavailable");
    expect(error.message).toBe("the database did not answer in time");
    expect(await bench.versionOf("p", "latest")).toBe(1);
    await other.query("rollback");
    expect(await bench.create("p", "2")).toMatchObject({ version: 2, revision: 2 });
  });

  it("gives up a connection that no longer answers", async () => {
    const url = await createDatabase();
    const { bench, database } = await open(withParameter(url, "query_timeout", "100"));
    await bench.create("p", "1");
    const other = await session(url);
    await other.query("begin; lock table labels in access exclusive mode");
    const error = await failure(bench.versionOf("p", "latest"));
    expect(error).toMatchObject({ code: "unavailable" });
    expect(error.message).toBe("the database cannot be reached");
    expect((error.cause as Error).message).toMatch(/cannot be reached \(.+\)$/);
    // Whatever comes next is asked on another connection.
    expect(await bench.changes()).toHaveLength(1);
    await other.query("rollback");
    expect(await bench.versionOf("p", "latest")).toBe(1);
    expect(await database.migrationState()).toMatchObject({ pending: [] });
  });

  it("leaves connections for reads while many write", async () => {
    const url = await createDatabase();
    const { bench } = await open(url);
    await bench.create("p", "1");
    const other = await session(url);
    await other.query("begin; select * from database for update");
    const writes = Array.from({ length: 30 }, (_, index) => bench.create("p", `text ${index}`));
    expect(await bench.versionOf("p", "latest")).toBe(1);
    await other.query("rollback");
    const created = await Promise.all(writes);
    expect(created.map(({ version }) => version)).toEqual(writes.map((_, index) => index + 2));
  });

  it("never tells the password, and callers not where it is", async () => {
    const url = new URL(postgresUrl as string);
    url.password = "secret";
    url.pathname = "/nowhere";
    const database = await openDatabase(url.href);
    onTestFinished(() => database.close());
    const error = await failure(database.migrate());
    expect(error.code).toBe("unavailable");
    expect(error.message).toBe("the database refuses to work (3D000)");
    const { cause } = error as { cause: Error };
    expect(cause.message).toBe(
      `PostgreSQL (${url.host}/nowhere) refuses to work: database "nowhere" does not exist (3D000)`,
    );
    expect(`${cause} ${cause.cause} ${cause.stack} ${error.stack}`).not.toContain("secret");
  });

  it("orders names by bytes whatever the order of the database is", async () => {
    const other = await session(await createDatabase());
    const { rows } = await other.query("select 'a' < 'B' as words");
    // Where the server has an order of words, the order of bytes in the contract is our own doing.
    expect(rows).toEqual([{ words: true }]);
  });
});
