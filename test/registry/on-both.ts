import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe } from "vitest";
import type { Database } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/open.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";

/** What a test works on: empty, migrated, and its own. A test that closes it puts another one there. */
export interface Subject {
  url: string;
  database: Database;
}

/** Runs a suite on SQLite and on PostgreSQL, a new database for each test. */
export function describeOnBoth(what: string, suite: (subject: Subject) => void): void {
  describe(`${what} on SQLite`, () => {
    let directory: string;
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), "promptd-registry-"));
    });
    afterEach(() => rmSync(directory, { recursive: true, force: true }));
    suite(newForEachTest(async () => `sqlite:${join(directory, "promptd.db")}`));
  });
  const skip = postgresUrl === undefined;
  describe.skipIf(skip)(`${what} on PostgreSQL${skip ? SKIPPED_WITHOUT_POSTGRES : ""}`, () => {
    suite(newForEachTest(() => createDatabase()));
  });
}

function newForEachTest(url: () => Promise<string>): Subject {
  const subject = {} as Subject;
  beforeEach(async () => {
    subject.url = await url();
    subject.database = await openDatabase(subject.url);
    await subject.database.migrate();
  });
  afterEach(() => subject.database.close());
  return subject;
}
