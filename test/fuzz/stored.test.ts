import fc from "fast-check";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { canonicalBody, contentHash } from "../../src/core/content-hash.ts";
import { requireValidVersion } from "../../src/core/new-version.ts";
import type { NewVersion } from "../../src/core/ports.ts";
import type { JsonValue } from "../../src/core/prompt.ts";
import { LIMITS, Validator } from "../../src/core/validate.ts";
import type { Database } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import { fuzz } from "./fuzz.ts";
import { unlessRefused } from "./refusals.ts";
import { temporaryFile } from "./temporary.ts";
import { brokenText } from "./texts.ts";

const CALLER = { project: "default", actor: "fuzz" };

const label = fc.string({ unit: fc.constantFrom(..."abz019_-."), minLength: 1, maxLength: 37 });

const version = fc.record({
  name: brokenText,
  body: fc.record({
    type: fc.constant("text" as const),
    format: fc.constant("mustache" as const),
    template: brokenText,
    config: fc.oneof(fc.constant({}), fc.jsonValue() as fc.Arbitrary<JsonValue>, brokenText),
  }),
  labels: fc.uniqueArray(label, { maxLength: 3 }),
  tags: fc.uniqueArray(brokenText, { maxLength: 3 }),
  commitMessage: brokenText,
});

let database: Database;
let registry: Registry;

beforeAll(async () => {
  database = await openDatabase(`sqlite:${temporaryFile()}`);
  await database.migrate();
  registry = new Registry(database);
});

afterAll(() => database.close());

describe("what is accepted", () => {
  fuzz("stored names", version, async (version) => {
    if ((await unlessRefused(() => requireValidVersion(version) ?? true)) === undefined) return;
    const created = await unlessRefused(() => registry.createVersion(CALLER, version));
    if (created === undefined) return;
    await expectReadBack(version, created.version);
  });
});

/** Whichever way it is asked for, what was written is answered, unit for unit. */
async function expectReadBack(written: NewVersion, number: number): Promise<void> {
  const { name, body, labels, tags = [], commitMessage } = written;
  for (const selector of [{ version: number }, ...labels.map((label) => ({ label }))]) {
    const read = await registry.load(CALLER, name, selector);
    expect(read).toMatchObject({ name, version: number, commitMessage });
    expect(read.contentHash).toBe(contentHash(canonicalBody(body)));
    expect(canonicalBody(read.body)).toBe(canonicalBody(body));
    if (tags.length > 0) expect(read.tags).toEqual(tags);
    expect(read.labels).toEqual(expect.arrayContaining([...labels]));
  }
  const { items } = await registry.listChanges(CALLER, { name }, { size: 1 });
  expect(items).toMatchObject([{ name, reason: commitMessage }]);

  // Lists find it by each of its filters.
  const [folder] = name.split("/");
  const filters = [
    ...labels.map((label) => ({ label })),
    ...tags.map((tag) => ({ tag })),
    ...(folder !== undefined && folder !== name ? [{ folder }] : []),
  ];
  for (const filter of filters) {
    const page = { size: LIMITS.pageSize, ...before(name) };
    const { items } = await registry.listPrompts(CALLER, filter, page);
    expect(items.map((item) => item.name)).toContain(name);
  }
}

/** A key of names that stands before this one and after most others. */
function before(name: string): { after?: string } {
  const after = name.slice(0, -1);
  const validator = new Validator();
  validator.name(after);
  try {
    validator.done();
    return { after };
  } catch {
    return {};
  }
}
