import { randomUUID } from "node:crypto";
import { join } from "node:path";
import pg from "pg";
import { inject } from "vitest";

/** The server that the tests share; undefined where there is none. */
export const postgresUrl = inject("postgresUrl");

/** What a suite that needs the server adds to its name where it is missing. */
export const SKIPPED_WITHOUT_POSTGRES =
  " (skipped: needs PROMPTD_TEST_POSTGRES_URL or an installed PostgreSQL)";

/** Makes an empty database and tells its URL. */
export async function createDatabase(server = postgresUrl): Promise<string> {
  if (server === undefined) throw new Error("there is no PostgreSQL server");
  const name = `promptd_test_${randomUUID().replaceAll("-", "")}`;
  const client = new pg.Client(server);
  await client.connect();
  try {
    // An order of words, unlike that of bytes, where the server has one.
    await client
      .query(`create database ${name} template template0 locale_provider icu icu_locale 'en-US'`)
      .catch(() => client.query(`create database ${name}`));
  } finally {
    await client.end();
  }
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

/** Rows for suites about processes that share a database: `skip` is for the test, whose name tells why. */
export function sharedDatabases(folder: () => string) {
  const skipped = postgresUrl === undefined ? SKIPPED_WITHOUT_POSTGRES : "";
  return [
    {
      database: "one SQLite file",
      skip: false,
      url: async () => `sqlite:${join(folder(), "promptd.db")}`,
    },
    {
      database: `one PostgreSQL database${skipped}`,
      skip: postgresUrl === undefined,
      url: createDatabase,
    },
  ];
}
