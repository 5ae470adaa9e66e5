import { spawnSync } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sql } from "kysely";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Connection, DatabaseOptions } from "../../src/store/database.ts";
import { MIGRATION_TABLE } from "../../src/store/migrations.ts";
import { openDatabase } from "../../src/store/open.ts";
import { SqliteFile } from "../../src/store/sqlite-file.ts";
import { Bench, failure, temporaryDirectory } from "./fixtures.ts";

describe("a SQLite database", () => {
  const newPath = () => join(temporaryDirectory(), "data", "promptd.db");

  async function open(path: string, options: DatabaseOptions = {}) {
    const database = await openDatabase(`sqlite:${path}`, options);
    onTestFinished(() => database.close());
    await database.migrate();
    return { database, bench: new Bench(database, { project: "default", actor: "tester" }) };
  }

  /** A connection that holds the write lock, as another process would. */
  function lock(path: string): { release(): void } {
    const other = new SqliteFile(path);
    onTestFinished(() => other.close());
    other.exec("begin immediate");
    return { release: () => other.exec("rollback") };
  }

  it("is made with its directory, for nobody but the owner", async () => {
    const path = newPath();
    const { bench } = await open(path);
    await bench.create("p", "secret");
    const mode = (file: string) => (statSync(file).mode & 0o777).toString(8);
    expect(mode(dirname(path))).toBe("700");
    expect([path, `${path}-wal`, `${path}-shm`].map(mode)).toEqual(["600", "600", "600"]);
  });

  it("is one file again once it is closed", async () => {
    const path = newPath();
    const database = await openDatabase(`sqlite:${path}`);
    await database.migrate();
    await database.close();
    const log = `${path}-wal`;
    expect(existsSync(log) ? statSync(log).size : 0).toBe(0);
  });

  it("makes the disk wait for changes, and not for notes", async () => {
    const { database } = await open(newPath());
    const synchronous = async (db: Connection) => {
      const { rows } = await sql<{ synchronous: number }>`pragma synchronous`.execute(db);
      return rows[0]?.synchronous;
    };
    const inTurn = [
      database.transaction(undefined, synchronous),
      database.note(undefined, synchronous),
      database.transaction(undefined, synchronous),
      database.note(undefined, () => Promise.reject(new Error())).catch(() => "failed"),
      database.transaction(undefined, synchronous),
    ];
    expect(await Promise.all(inTurn)).toEqual([2, 1, 2, "failed", 2]);
  });

  it("waits for another process to give the lock back", async () => {
    const path = newPath();
    const { bench } = await open(path);
    const { release } = lock(path);
    const created = bench.create("p", "1");
    const alsoCreated = bench.create("p", "2");
    // Reads go on meanwhile.
    expect((await failure(bench.registry.find(bench.caller, "p", { version: 1 }))).code).toBe(
      "not_found",
    );
    release();
    expect(await created).toMatchObject({ version: 1 });
    expect(await alsoCreated).toMatchObject({ version: 2 });
  });

  it("is unavailable while another process does not give the lock back", async () => {
    const path = newPath();
    const { bench } = await open(path, { lockTimeout: 50 });
    const { release } = lock(path);
    const attempts = [bench.create("p", "1"), bench.create("p", "2"), bench.create("p", "3")];
    const started = performance.now();
    for (const error of await Promise.all(attempts.map(failure))) {
      expect(error.code).toBe("unavailable");
      expect(error.message).toBe("another process keeps the database locked");
      const fault = `another process keeps the database ${path} locked`;
      expect(error.cause).toMatchObject({ message: fault });
    }
    // All of them have waited from when they came, and not one after the other.
    expect(performance.now() - started).toBeLessThan(1000);
    release();
    expect(await bench.create("p", "1")).toMatchObject({ version: 1, revision: 1 });
  });

  it("stops waiting for a caller who gives up", async () => {
    const path = newPath();
    const { bench } = await open(path);
    const { release } = lock(path);
    const controller = new AbortController();
    const caller = { ...bench.caller, signal: controller.signal };
    const edit = { name: "p", reason: "", tags: [] };
    const waiting = failure(bench.registry.setTags(caller, edit));
    controller.abort();
    expect((await waiting).code).toBe("canceled");
    release();
  });

  it("refuses what libsql would cut or end the process over", async () => {
    const { database } = await open(newPath());
    const put = (id: unknown) =>
      database.transaction(undefined, (db) =>
        db
          .insertInto("projects")
          .values({ id: id as string, created_at: 0 })
          .execute(),
      );
    await expect(put("a\u0000b")).rejects.toThrow(TypeError);
    await expect(put(true)).rejects.toThrow(TypeError);
  });

  it("is not opened by an older program than has written it", async () => {
    const path = newPath();
    const { database } = await open(path);
    await database.transaction(undefined, (db) =>
      db
        .insertInto(MIGRATION_TABLE as never)
        .values({ name: "9999_future", timestamp: new Date().toISOString() } as never)
        .execute(),
    );
    for (const error of [
      await failure(database.migrate()),
      await failure(database.migrationState()),
    ]) {
      expect(error.code).toBe("refused");
      expect(error.message).toContain("newer promptd: it has 9999_future");
    }
  });

  it("tells which migrations were applied", async () => {
    const database = await openDatabase(`sqlite:${newPath()}`);
    onTestFinished(() => database.close());
    const { applied, pending: names } = await database.migrationState();
    expect(applied).toEqual([]);
    expect(names[0]).toBe("0001_registry");
    expect(await database.migrate()).toEqual(names);
    expect(await database.migrate()).toEqual([]);
    expect(await database.migrationState()).toEqual({ applied: names, pending: [] });
  });

  it("is unavailable where the file is something else", async () => {
    const path = join(temporaryDirectory(), "text.db");
    writeFileSync(path, "not a database, but long enough to be taken for one\n".repeat(100));
    const error = await failure(openDatabase(`sqlite:${path}`));
    expect(error.code).toBe("unavailable");
    expect(error.message).toBe("the database cannot be used (SQLITE_NOTADB)");
    const fault = expect.stringContaining(`the database ${path} cannot be used: `);
    expect(error.cause).toMatchObject({ message: fault });
    const directory = await failure(openDatabase(`sqlite:${dirname(path)}`));
    expect(directory.code).toBe("unavailable");
  });

  it("is unavailable, and whole, where the disk is full", async () => {
    const path = newPath();
    await open(path);
    const program = `
      import { openDatabase } from "./src/store/open.ts";
      import { Registry } from "./src/store/registry.ts";
      const registry = new Registry(await openDatabase("sqlite:" + process.argv[1]));
      const caller = { project: "default", actor: "tester" };
      const body = (template) => ({ type: "text", format: "mustache", template, config: {} });
      const create = (template) =>
        registry.createVersion(caller, { name: "p", body: body(template), labels: [], commitMessage: "" });
      await create("small");
      try {
        await create("large".repeat(200_000));
      } catch ({ code, message }) {
        console.log(code, message);
      }
      console.log((await create("small again")).version);
    `;
    const node = [process.execPath, "--import", "tsx", "--input-type=module", "-e", program, path];
    // No file may grow beyond so many blocks of 1 KiB, as if the disk were full there.
    const { stdout } = spawnSync("bash", ["-c", 'ulimit -f 512; exec "$@"', "bash", ...node], {
      encoding: "utf8",
    });
    expect(stdout).toMatch(/^unavailable the database cannot be used \(SQLITE_\w+\)$/m);
    expect(stdout.trim().split("\n").at(-1)).toBe("2");
  });
});

describe("a connection to a SQLite file", () => {
  it.each([
    ["select", "select a from t"],
    ["insert", "insert into t values (9)"],
    ["insert that returns", "insert into t values (9) returning a"],
  ])("sees what is written, and can write, after a lock kept it from an %s", (_, statement) => {
    const path = join(temporaryDirectory(), "plain.db");
    const [file, other] = [new SqliteFile(path), new SqliteFile(path)];
    onTestFinished(() => {
      for (const connection of [file, other]) connection.close();
    });
    other.exec("create table t (a)");
    const prepared = file.prepare(statement);
    other.exec("begin exclusive");
    expect(() => (prepared.reader ? prepared.all([]) : prepared.run([]))).toThrow("locked");
    other.exec("commit");

    const count = () => file.prepare("select count(*) as rows from t").all([]);
    expect(count()).toEqual([{ rows: 0 }]);
    other.exec("insert into t values (1)");
    expect(count()).toEqual([{ rows: 1 }]);
    file.run("insert into t values (?)", [2]);
    expect(count()).toEqual([{ rows: 2 }]);
  });
});

describe("a database URL", () => {
  it.each([
    "mysql://localhost/x",
    "promptd.db",
    "",
    "sqlite:",
    "sqlite::memory:",
    "postgres://a:secret@[/x",
  ])("%j is refused", async (url) => {
    const error = await failure(openDatabase(url));
    expect(error.code).toBe("invalid");
    expect(error.violations[0]?.field).toBe("database_url");
    expect(JSON.stringify(error) + error.message + String(error.cause)).not.toContain("secret");
  });
});
