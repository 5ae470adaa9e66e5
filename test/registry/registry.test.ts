import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe } from "vitest";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { registryContract } from "./registry.contract.ts";

describe("the registry on SQLite", () => {
  const directory = mkdtempSync(join(tmpdir(), "promptd-registry-"));
  registryContract(async () => `sqlite:${join(directory, "promptd.db")}`);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
});

const skipped = postgresUrl === undefined;
describe.skipIf(skipped)(
  `the registry on PostgreSQL${skipped ? SKIPPED_WITHOUT_POSTGRES : ""}`,
  () => {
    registryContract(createDatabase);
  },
);
