import type { TestProject } from "vitest/node";
import { startPostgres } from "./postgres-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Of a server where databases may be made; undefined where there is none. */
    postgresUrl: string | undefined;
  }
}

/**
 * Starts what the tests share, before the first of them: PostgreSQL, unless
 * PROMPTD_TEST_POSTGRES_URL names one. Without either its tests are skipped,
 * which CI does not let pass.
 */
export default async function startServers(project: TestProject) {
  const given = process.env.PROMPTD_TEST_POSTGRES_URL;
  const started = given ? undefined : await startPostgres();
  const postgresUrl = given || started?.url;
  if (postgresUrl === undefined && process.env.CI === "true") {
    throw new Error("no PostgreSQL is installed, and PROMPTD_TEST_POSTGRES_URL is not set");
  }
  project.provide("postgresUrl", postgresUrl);
  return () => started?.remove();
}
