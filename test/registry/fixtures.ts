import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import type { Change } from "../../src/core/change.ts";
import { PromptdError } from "../../src/core/errors.ts";
import type { Caller, NewVersion, Page, PromptSource, RolloutFate } from "../../src/core/ports.ts";
import type { JsonValue, PromptBody } from "../../src/core/prompt.ts";
import type { Database } from "../../src/store/database.ts";
import { Registry } from "../../src/store/registry.ts";
import { StoredRollouts } from "../../src/store/rollouts.ts";

/** A project of its own, so that tests that share a database do not see each other. */
export async function newProject(database: Database): Promise<Caller> {
  const id = `project-${++projects}-${process.pid}`;
  await database.transaction(undefined, (db) =>
    db.insertInto("projects").values({ id, created_at: Date.now() }).execute(),
  );
  return { project: id, actor: "tester" };
}

let projects = 0;

/** A registry with a caller to use it in, and short ways to do what most tests do. */
export class Bench {
  readonly registry: Pick<Registry, keyof Registry>;
  readonly rollouts: StoredRollouts;
  readonly caller: Caller;

  constructor(
    database: Database,
    caller: Caller,
    registry: Pick<Registry, keyof Registry> = new Registry(database),
  ) {
    this.registry = registry;
    this.rollouts = new StoredRollouts(database);
    this.caller = caller;
  }

  create(name: string, template: string, more: Partial<NewVersion> = {}) {
    return this.registry.createVersion(this.caller, {
      name,
      body: text(template),
      labels: [],
      commitMessage: "",
      ...more,
    });
  }

  /** Moves labels, given as `{label: version}`. */
  label(
    name: string,
    moves: Record<string, number>,
    expectedRevision?: number,
    rollouts?: RolloutFate,
  ) {
    return this.registry.setLabels(this.caller, {
      name,
      moves: Object.entries(moves).map(([label, version]) => ({ label, version })),
      reason: "because",
      ...(expectedRevision !== undefined && { expectedRevision }),
      ...(rollouts && { rollouts }),
    });
  }

  tag(name: string, tags: readonly string[], expectedRevision?: number) {
    return this.registry.setTags(this.caller, {
      name,
      tags,
      reason: "because",
      ...(expectedRevision !== undefined && { expectedRevision }),
    });
  }

  remove(name: string, versions: readonly number[] | "all", expectedRevision?: number) {
    return this.registry.deleteVersions(this.caller, {
      name,
      versions,
      reason: "because",
      ...(expectedRevision !== undefined && { expectedRevision }),
    });
  }

  async versionOf(name: string, label: string): Promise<number> {
    return (await this.registry.find(this.caller, name, { label })).version;
  }

  /** All labels of a prompt, `latest` too, as `{label: version}`. */
  async labels(name: string): Promise<Record<string, number>> {
    const { items } = await this.registry.listVersions(this.caller, name, {}, { size: 1000 });
    const pairs = items.flatMap(({ version, labels }) => labels.map((l) => [l, version] as const));
    return Object.fromEntries(pairs);
  }

  /** The changes of the project, oldest first. */
  async changes(filter: { name?: string; after?: number } = {}): Promise<Change[]> {
    const newestFirst = await allPages<Change, number>((next) =>
      this.registry.listChanges(this.caller, filter, below(next, 200)),
    );
    return newestFirst.reverse();
  }
}

/** The prompts of a source, with the history and the policies of a database. */
export function livingIn(source: PromptSource, database: Database): Registry {
  return new Proxy(new Registry(database), {
    get(registry, method: keyof Registry) {
      const owner = method in source ? source : registry;
      return (owner as Registry)[method].bind(owner);
    },
  });
}

export function text(template: string, config: JsonValue = {}): PromptBody {
  return { type: "text", format: "mustache", template, config };
}

export function chat(content: string): PromptBody {
  const template = [{ type: "chatmessage" as const, role: "user", content }];
  return { type: "chat", format: "mustache", template, config: {} };
}

/** A composition tag. */
export function include(name: string, selector: { label: string } | { version: number }): string {
  const [[key, value]] = Object.entries(selector) as [[string, string | number]];
  return `@@@langfusePrompt:name=${name}|${key}=${value}@@@`;
}

/** Follows `next` to the last page. */
export async function allPages<Item, Key>(
  list: (next: Key | undefined) => Promise<Page<Item, Key>>,
): Promise<Item[]> {
  const items: Item[] = [];
  let next: Key | undefined;
  do {
    const page = await list(next);
    items.push(...page.items);
    next = page.next;
  } while (next !== undefined);
  return items;
}

/** The page of what is below a number, or the first one. */
export function below(next: number | undefined, size: number) {
  return next === undefined ? { size } : { size, before: next };
}

/** Waits for a failure and tells it. */
export async function failure(work: Promise<unknown>): Promise<PromptdError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(PromptdError);
  return thrown as PromptdError;
}

/** A directory that is removed with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "promptd-registry-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
