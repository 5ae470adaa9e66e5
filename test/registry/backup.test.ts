import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { backup, restore } from "../../src/store/backup.ts";
import { MIGRATION_TABLE } from "../../src/store/migrations.ts";
import { openDatabase } from "../../src/store/open.ts";
import { SqliteFile } from "../../src/store/sqlite-file.ts";
import { canary } from "../support/rollouts.ts";
import { Bench, failure, include, temporaryDirectory } from "./fixtures.ts";
import { expectKept, Writer } from "./processes.ts";

describe("backup and restore", () => {
  async function open(path: string): Promise<Bench> {
    const database = await openDatabase(`sqlite:${path}`);
    onTestFinished(() => database.close());
    await database.migrate();
    return new Bench(database, { project: "default", actor: "tester" });
  }

  /** A database with something in every table, and a place for its copy. */
  async function filled() {
    const directory = temporaryDirectory();
    const path = join(directory, "promptd.db");
    const bench = await open(path);
    await bench.create("header", "Hi\u0000", { labels: ["production"] });
    await bench.create("p", include("header", { label: "production" }), { tags: ["t"] });
    await bench.create("p", "2", { labels: ["production"] });
    await bench.create("gone", "1");
    await bench.remove("gone", "all");
    const { registry, caller } = bench;
    const asked = { label: "guarded", protection: "approval" as const, reason: "" };
    await registry.setLabelPolicy(caller, asked);
    const moves = [{ label: "guarded", version: 1 }];
    const author = { ...caller, scopes: ["release" as const] };
    await registry.setLabels(author, { name: "p", moves, reason: "later" });
    const rollout = { rollout: canary("p"), expectedRevision: 0, reason: "" };
    await bench.rollouts.putRollout(caller, rollout);
    return { bench, path, directory, file: join(directory, "copies", "copy.db") };
  }

  const everything = async (bench: Bench) => ({
    prompts: await bench.registry.listPrompts(bench.caller, {}, { size: 200 }),
    p: await bench.registry.load(bench.caller, "p", { version: 1 }),
    header: await bench.registry.load(bench.caller, "header", { label: "production" }),
    changes: await bench.changes(),
    policies: await bench.registry.listLabelPolicies(bench.caller, { size: 9 }),
    pending: await bench.registry.listPendingChanges(bench.caller, {}, { size: 9 }),
    rollouts: await bench.rollouts.ongoingRollouts(),
  });

  const databaseId = (path: string) => {
    const file = new SqliteFile(path);
    onTestFinished(() => file.close());
    return file.all("select id from database");
  };

  it("bring back what was copied, in place, while the database is open", async () => {
    const { bench, path, file } = await filled();
    const before = await everything(bench);
    expect(await backup(path, file)).toEqual({ prompts: 2, versions: 3, changes: 8 });
    await bench.create("p", "3", { labels: ["production"] });
    await bench.remove("p", [1]);
    await bench.create("new", "1");

    expect(await restore(path, file)).toEqual({ prompts: 2, versions: 3, changes: 8 });
    expect(await everything(bench)).toEqual(before);
    expect(databaseId(path)).toEqual(databaseId(file));
    // What is given out again is given out once: numbers go on from the copy.
    expect(await bench.create("p", "other")).toMatchObject({ version: 3, revision: 9 });
    expect(await bench.create("gone", "1")).toMatchObject({ version: 2 });
  });

  it("make the database where there is none", async () => {
    const { bench, path, file, directory } = await filled();
    await backup(path, file);
    const elsewhere = join(directory, "new", "promptd.db");
    await restore(elsewhere, file);
    expect(statSync(elsewhere).mode & 0o777).toBe(0o600);
    expect(await everything(await open(elsewhere))).toEqual(await everything(bench));
    expect(databaseId(elsewhere)).toEqual(databaseId(path));
  });

  it("write a file that only the owner may read, and leave nothing beside it", async () => {
    const { path, file } = await filled();
    await backup(path, file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(dirname(file))).toEqual(["copy.db"]);
    await restore(path, file);
    expect(readdirSync(dirname(file))).toEqual(["copy.db"]);
    expect(readdirSync(dirname(path)).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("never write over a file", async () => {
    const { path, file } = await filled();
    await backup(path, file);
    const error = await failure(backup(path, file));
    expect(error).toMatchObject({ code: "refused" });
    expect(error.message).toContain("exists already");
    const own = await failure(backup(path, path));
    expect(own).toMatchObject({ code: "refused" });
  });

  it("want something to copy", async () => {
    const directory = temporaryDirectory();
    const nothing = join(directory, "nothing.db");
    expect((await failure(backup(nothing, join(directory, "copy.db")))).code).toBe("not_found");
    expect((await failure(restore(join(directory, "p.db"), nothing))).code).toBe("not_found");
    const other = join(directory, "other.db");
    const file = new SqliteFile(other);
    file.exec("create table t (a)");
    file.close();
    expect((await failure(backup(other, join(directory, "copy.db")))).code).toBe("refused");
    expect(readdirSync(directory)).toEqual(["other.db"]);
  });

  it.each<[string, (file: string) => void]>([
    ["empty", (file) => truncateSync(file)],
    ["text", (file) => writeFileSync(file, "not a database\n".repeat(1000))],
    ["cut short", (file) => truncateSync(file, Math.floor(statSync(file).size / 2))],
    ["scribbled over", (file) => writeFileSync(file, readFileSync(file).fill(0x5a, 8192, 32_768))],
  ])("refuse a file that is %s, and change nothing", async (_, spoil) => {
    const { bench, path, file } = await filled();
    await backup(path, file);
    const before = await everything(bench);
    spoil(file);
    const error = await failure(restore(path, file));
    expect(error.code).toBe("refused");
    expect(error.message).toContain(file);
    expect(await everything(bench)).toEqual(before);
    const elsewhere = join(dirname(path), "elsewhere.db");
    await failure(restore(elsewhere, file));
    expect(existsSync(elsewhere)).toBe(false);
  });

  it("change nothing where the copy cannot be taken over to its end", async () => {
    const { bench, path, file } = await filled();
    await backup(path, file);
    await bench.create("p", "3", { labels: ["production"] });
    const before = await everything(bench);
    const other = new SqliteFile(path);
    other.exec(
      "create trigger stop before insert on changes begin select raise(abort, 'stopped'); end",
    );
    other.close();
    await expect(restore(path, file)).rejects.toThrow("stopped");
    expect(await everything(bench)).toEqual(before);
  });

  it("refuse a copy whose parts do not belong together", async () => {
    const { bench, path, file } = await filled();
    await backup(path, file);
    const copy = new SqliteFile(file);
    copy.exec("pragma foreign_keys = off; delete from versions where number = 2");
    copy.close();
    const before = await everything(bench);
    expect(await failure(restore(path, file))).toMatchObject({
      code: "refused",
      message: `${file} is damaged`,
    });
    expect(await everything(bench)).toEqual(before);
  });

  it("refuse a copy of a newer promptd, and change nothing", async () => {
    const { bench, path, file } = await filled();
    await backup(path, file);
    const copy = new SqliteFile(file);
    copy.exec(`insert into ${MIGRATION_TABLE} values ('9999_future', '2999-01-01T00:00:00.000Z')`);
    copy.close();
    const before = await everything(bench);
    const error = await failure(restore(path, file));
    expect(error.message).toContain("newer promptd");
    expect(await everything(bench)).toEqual(before);
  });

  it("say what to do about a database that is damaged itself", async () => {
    const { path, directory } = await filled();
    const file = join(directory, "copy.db");
    await backup(path, file);
    const damaged = join(directory, "damaged.db");
    writeFileSync(damaged, "this was a database");
    const error = await failure(restore(damaged, file));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("move it and its -wal and -shm files away");
    rmSync(damaged);
    expect(await restore(damaged, file)).toMatchObject({ prompts: expect.any(Number) });
  });

  it("name the file that cannot be read", async () => {
    const { path, directory } = await filled();
    const error = await failure(restore(path, directory));
    expect(error).toMatchObject({ code: "refused" });
    expect(error.message).toContain(`${directory} cannot be read`);
  });

  it("refuse the file of a database in use, whose last changes are elsewhere", async () => {
    const { path, directory } = await filled();
    const error = await failure(restore(join(directory, "elsewhere.db"), path));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("promptd backup");
  });

  it("copy one moment of a database that another process writes", async () => {
    const directory = temporaryDirectory();
    const path = join(directory, "promptd.db");
    const writer = new Writer(`sqlite:${path}`, "p");
    await writer.ready();
    await writer.write(20);
    const seen = writer.acknowledged.length;
    const file = join(directory, "copy.db");
    const { changes } = await backup(path, file);
    expect(changes).toBeGreaterThanOrEqual(seen);
    await writer.write(writer.acknowledged.length + 20);

    const copy = await open(file);
    const history = await copy.changes();
    expect(history.map(({ revision }) => revision)).toEqual(
      Array.from({ length: changes }, (_, index) => index + 1),
    );
    const { latest } = await copy.labels("p");
    expect(latest).toBe(history.flatMap(({ versions }) => versions).length);
    await writer.stop();
    await expectKept(await open(path), "p", [writer]);
  });

  it("put a copy back while another process writes", async () => {
    const directory = temporaryDirectory();
    const path = join(directory, "promptd.db");
    const bench = await open(path);
    await bench.create("p", "first");
    const file = join(directory, "copy.db");
    await backup(path, file);
    const writer = new Writer(`sqlite:${path}`, "p");
    await writer.ready();
    await writer.write(20);
    await restore(path, file);
    const { revision } = await bench.create("q", "after");
    await writer.write(writer.acknowledged.length + 20);
    await writer.stop();

    // The writer goes on from the copy, and neither breaks the order of the other.
    const revisions = (await bench.changes()).map((change) => change.revision);
    expect(revisions).toEqual(revisions.map((_, index) => index + 1));
    expect(revisions).toContain(revision);
    const { latest } = await bench.labels("p");
    const { items } = await bench.registry.listPrompts(bench.caller, {}, { size: 9 });
    expect(items.map(({ name }) => name)).toEqual(["p", "q"]);
    expect(items[0]).toMatchObject({ latestVersion: latest, versionCount: latest });
  });
});
