import type { ChangeLog, Edit, NewVersion, PromptSource, Scope } from "../core/ports.ts";
import type { LabelMove, Pointer, PromptVersion, Selector } from "../core/prompt.ts";
import { listChanges } from "./change-log.ts";
import { createVersion } from "./create-version.ts";
import type { Database } from "./database.ts";
import { deleteVersions } from "./delete-versions.ts";
import { setLabels, setTags } from "./edit-prompt.ts";
import { listPrompts, listVersions } from "./lists.ts";
import { findPointer, loadVersion } from "./lookup.ts";
import type { Mutation } from "./mutation.ts";
import { notFound } from "./not-found.ts";

/** Prompts and their history in promptd's own database. */
export class Registry implements PromptSource, ChangeLog {
  readonly #database: Database;
  readonly #now: () => number;

  /** @param now milliseconds since 1970 */
  constructor(database: Database, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  async find(scope: Scope, name: string, selector: Selector): Promise<Pointer> {
    const prompt = { project: scope.project, name };
    const found = await this.#database.query(scope.signal, (db) =>
      findPointer(db, prompt, selector),
    );
    // What is there instead belongs to the moment in which it was not there.
    return (
      found ??
      this.#database.snapshot(scope.signal, async (db) => {
        const pointer = await findPointer(db, prompt, selector);
        if (pointer === undefined) throw await notFound(db, prompt, selector);
        return pointer;
      })
    );
  }

  load(scope: Scope, name: string, selector: Selector): Promise<PromptVersion> {
    const prompt = { project: scope.project, name };
    return this.#database.snapshot(scope.signal, async (db) => {
      const version = await loadVersion(db, prompt, selector);
      if (version === undefined) throw await notFound(db, prompt, selector);
      return version;
    });
  }

  listPrompts(
    scope: Scope,
    filter: { label?: string; tag?: string; folder?: string },
    page: { size: number; after?: string },
  ) {
    return this.#database.snapshot(scope.signal, (db) =>
      listPrompts(db, scope.project, filter, page),
    );
  }

  listVersions(
    scope: Scope,
    name: string,
    filter: { label?: string },
    page: { size: number; before?: number },
  ) {
    const prompt = { project: scope.project, name };
    return this.#database.snapshot(scope.signal, (db) => listVersions(db, prompt, filter, page));
  }

  listChanges(
    scope: Scope,
    filter: { name?: string; after?: number },
    page: { size: number; before?: number },
  ) {
    return this.#database.query(scope.signal, (db) => listChanges(db, scope.project, filter, page));
  }

  createVersion(scope: Scope, version: NewVersion) {
    return this.#mutate(scope, version.name, (mutation) => createVersion(mutation, version));
  }

  setLabels(scope: Scope, edit: Edit & { moves: readonly LabelMove[] }) {
    return this.#mutate(scope, edit.name, (mutation) => setLabels(mutation, edit));
  }

  setTags(scope: Scope, edit: Edit & { tags: readonly string[] }) {
    return this.#mutate(scope, edit.name, (mutation) => setTags(mutation, edit));
  }

  deleteVersions(scope: Scope, edit: Edit & { versions: readonly number[] | "all" }) {
    return this.#mutate(scope, edit.name, (mutation) => deleteVersions(mutation, edit));
  }

  #mutate<Result>(
    { project, actor, signal }: Scope,
    name: string,
    work: (mutation: Mutation) => Promise<Result>,
  ): Promise<Result> {
    return this.#database.transaction(signal, (db) =>
      work({ db, prompt: { project, name }, actor, now: this.#now() }),
    );
  }
}
