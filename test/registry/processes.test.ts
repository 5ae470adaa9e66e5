import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openDatabase } from "../../src/store/open.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { Bench, temporaryDirectory } from "./fixtures.ts";
import { expectKept, Writer } from "./processes.ts";

const skipped = postgresUrl === undefined;

describe.each([
  {
    database: "one SQLite file",
    skip: false,
    create: async () => `sqlite:${join(temporaryDirectory(), "data", "promptd.db")}`,
  },
  {
    database: `one PostgreSQL database${skipped ? SKIPPED_WITHOUT_POSTGRES : ""}`,
    skip: skipped,
    create: () => createDatabase(),
  },
])("processes on $database", ({ skip, create }) => {
  const open = async (url: string) => {
    const database = await openDatabase(url);
    onTestFinished(() => database.close());
    return database;
  };
  const benchOn = async (url: string) =>
    new Bench(await open(url), { project: "default", actor: "tester" });

  it.skipIf(skip)("start at once on an empty database", async () => {
    const url = await create();
    const writers = [1, 2, 3].map(() => new Writer(url, "p"));
    await Promise.all(writers.map((writer) => writer.ready()));
    const database = await open(url);
    expect(await database.migrate()).toEqual([]);
    const rows = await database.query(undefined, (db) =>
      db.selectFrom("database").selectAll().execute(),
    );
    expect(rows).toHaveLength(1);
    await Promise.all(writers.map((writer) => writer.stop()));
  });

  it.skipIf(skip)("write at the same time and lose nothing", async () => {
    const url = await create();
    const writers = [new Writer(url, "p"), new Writer(url, "p")];
    await Promise.all(writers.map((writer) => writer.ready()));
    await Promise.all(writers.map((writer) => writer.write(100)));
    await Promise.all(writers.map((writer) => writer.stop()));
    await expectKept(await benchOn(url), "p", writers);
  });

  it.skipIf(skip)("keep what was acknowledged when one is killed in the middle", async () => {
    const url = await create();
    const [victim, survivor] = [new Writer(url, "p"), new Writer(url, "p")];
    await Promise.all([victim.ready(), survivor.ready()]);
    await Promise.all([victim.write(50), survivor.write(50)]);
    await victim.kill();
    await survivor.write(survivor.acknowledged.length + 50);
    await survivor.stop();
    await expectKept(await benchOn(url), "p", [victim, survivor]);
  });
});
