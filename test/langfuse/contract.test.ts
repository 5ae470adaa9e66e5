import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe } from "vitest";
import { hashSecret, KEY_SCOPES, newKeyId, newSecret } from "../../src/core/keys.ts";
import { LangfuseApi } from "../../src/sources/langfuse/api.ts";
import { LangfuseSource } from "../../src/sources/langfuse/source.ts";
import type { Database } from "../../src/store/database.ts";
import { Keys } from "../../src/store/keys.ts";
import { MAX_LABELS } from "../../src/store/labels.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Projects } from "../../src/store/projects.ts";
import { StoredSourceJournal } from "../../src/store/source-journal.ts";
import { catalogRules } from "../registry/contract/catalog.ts";
import { compositionRules } from "../registry/contract/composition.ts";
import { concurrencyRules } from "../registry/contract/concurrency.ts";
import { deletionRules } from "../registry/contract/deletion.ts";
import { historyRules } from "../registry/contract/history.ts";
import { labelRules } from "../registry/contract/labels.ts";
import { listRules } from "../registry/contract/lists.ts";
import { rolloutRules } from "../registry/contract/rollouts.ts";
import { versionRules } from "../registry/contract/versions.ts";
import { Bench, livingIn, newProject } from "../registry/fixtures.ts";
import type { Subject } from "../registry/registry.contract.ts";
import { type LangfuseService, startWithKeys } from "./service.ts";

/**
 * What prompts in a Langfuse do not keep of a registry's promises, by the reason
 * why. The rules of tags are left out whole, and those of label
 * policies, which make registries: `source-policies.test.ts` has what holds of them.
 */
const NOT_KEPT: Record<string, readonly string[]> = {
  "the author is who called Langfuse's API, and the time Langfuse's": [
    "loads what was created",
    "gives the prompt a new revision and time",
    "describes versions",
  ],
  "no config is an empty one": ["gives back a scalar config as it was"],
  "templates are of format mustache": [
    "gives back a chat with a placeholder as it was",
    "refuses a move that lets a prompt above no longer compose",
    "refuses a new version that what includes latest cannot include",
    "does not let latest fall back to what a prompt above cannot include",
  ],
  "labels are not taken away": [
    "moves, adds and removes labels in one change, and tells how to undo it",
    "counts revisions without gaps, whatever failed or changed nothing",
    "does not remove a label that another prompt includes",
    "lists at most ten of those that include a prompt",
  ],
  "tags come with a new version alone": [
    "applies labels and tags to a version that was there already",
    "knows no project but those it was told of",
    "hides a prompt whose versions are all deleted",
  ],
  "what composition forbids is said in Langfuse's words": [
    "refuses a version that includes what does not exist",
    "refuses a circle, whether a new version closes it or a label",
    "does not delete a version that another prompt includes, by number or by label",
  ],
  "one Langfuse holds the prompts of one project": [
    "keeps projects apart",
    "looks for what is included in the same project only",
  ],
  "the test looks into the registry's tables, or makes a registry": [
    `keeps at most ${MAX_LABELS} labels of a prompt`,
    "keeps no hashes in the history where more than 10,000 versions go at once",
    "tells a limited caller nothing of the other prompts that include one",
  ],
};

const subject = {} as Subject;
const notKept = new Set(Object.values(NOT_KEPT).flat());
let upstream: LangfuseService;
let central: Database;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "promptd-langfuse-"));
  upstream = await startWithKeys();
  central = await openDatabase(`sqlite:${join(upstream.dataDir, "promptd.db")}`);
  subject.database = await openDatabase(`sqlite:${join(folder, "promptd.db")}`);
  await subject.database.migrate();
});

afterAll(async () => {
  await subject.database?.close();
  await central?.close();
  await upstream?.close();
  rmSync(folder, { recursive: true });
});

/** Each test has a project of its own, here and in the promptd that is the Langfuse. */
beforeEach(async ({ task }) => {
  // A promise that is kept after all fails the test.
  Object.assign(task, { fails: notKept.has(task.name) });
  const caller = await newProject(subject.database);
  await new Projects(central).create(caller, caller.project);
  const secret = newSecret();
  const key = {
    id: newKeyId(),
    name: "test",
    scopes: KEY_SCOPES,
    promptPatterns: [],
    secretHash: hashSecret(secret),
  };
  await new Keys(central).createKey(caller, key);
  const access = { baseUrl: upstream.baseUrl, publicKey: key.id, secretKey: secret };
  const journal = new StoredSourceJournal(subject.database);
  const source = new LangfuseSource(new LangfuseApi(access), journal);
  subject.bench = new Bench(subject.database, caller, livingIn(source, subject.database));
});

describe("versions", () => versionRules(subject));
describe("labels", () => labelRules(subject));
describe("deletion", () => deletionRules(subject));
describe("composition", () => compositionRules(subject));
describe("rollouts", () => rolloutRules(subject));
describe("lists", () => listRules(subject));
describe("catalog", () => catalogRules(subject));
describe("history", () => historyRules(subject));
describe("concurrency", () => concurrencyRules(subject));
