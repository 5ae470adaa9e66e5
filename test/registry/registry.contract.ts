import { afterAll, beforeAll, beforeEach, describe } from "vitest";
import type { Database } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/open.ts";
import { catalogRules } from "./contract/catalog.ts";
import { compositionRules } from "./contract/composition.ts";
import { concurrencyRules } from "./contract/concurrency.ts";
import { deletionRules } from "./contract/deletion.ts";
import { historyRules } from "./contract/history.ts";
import { labelPolicyRules } from "./contract/label-policy.ts";
import { labelRules } from "./contract/labels.ts";
import { listRules } from "./contract/lists.ts";
import { rolloutRules } from "./contract/rollouts.ts";
import { tagRules } from "./contract/tags.ts";
import { versionRules } from "./contract/versions.ts";
import { Bench, newProject } from "./fixtures.ts";

/** What the rules are tried on; new for each test. */
export interface Subject {
  bench: Bench;
  database: Database;
}

/** All that a registry promises, on whatever database it is kept. */
export function registryContract(createDatabase: () => Promise<string>): void {
  const subject = {} as Subject;

  beforeAll(async () => {
    subject.database = await openDatabase(await createDatabase());
    await subject.database.migrate();
  });

  afterAll(() => subject.database?.close());

  beforeEach(async () => {
    subject.bench = new Bench(subject.database, await newProject(subject.database));
  });

  describe("versions", () => versionRules(subject));
  describe("labels", () => labelRules(subject));
  describe("label policy", () => labelPolicyRules(subject));
  describe("tags", () => tagRules(subject));
  describe("deletion", () => deletionRules(subject));
  describe("composition", () => compositionRules(subject));
  describe("rollouts", () => rolloutRules(subject));
  describe("lists", () => listRules(subject));
  describe("catalog", () => catalogRules(subject));
  describe("history", () => historyRules(subject));
  describe("concurrency", () => concurrencyRules(subject));
}
