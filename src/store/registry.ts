import type {
  Caller,
  ChangeFilter,
  ChangeLog,
  Edit,
  NewVersion,
  PromptSource,
} from "../core/ports.ts";
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

  async find(caller: Caller, name: string, selector: Selector): Promise<Pointer> {
    const prompt = { project: caller.project, name };
    const found = await this.#database.query(caller.signal, (db) =>
      findPointer(db, prompt, selector),
    );
    // What is there instead belongs to the moment in which it was not there.
    return (
      found ??
      this.#database.snapshot(caller.signal, async (db) => {
        const pointer = await findPointer(db, prompt, selector);
        if (pointer === undefined) throw await notFound(db, prompt, selector);
        return pointer;
      })
    );
  }

  load(caller: Caller, name: string, selector: Selector): Promise<PromptVersion> {
    const prompt = { project: caller.project, name };
    return this.#database.snapshot(caller.signal, async (db) => {
      const version = await loadVersion(db, prompt, selector);
      if (version === undefined) throw await notFound(db, prompt, selector);
      return version;
    });
  }

  listPrompts(
    caller: Caller,
    filter: { label?: string; tag?: string; folder?: string },
    page: { size: number; after?: string },
  ) {
    return this.#database.snapshot(caller.signal, (db) =>
      listPrompts(db, caller.project, filter, page),
    );
  }

  listVersions(
    caller: Caller,
    name: string,
    filter: { label?: string },
    page: { size: number; before?: number },
  ) {
    const prompt = { project: caller.project, name };
    return this.#database.snapshot(caller.signal, (db) => listVersions(db, prompt, filter, page));
  }

  listChanges(caller: Caller, filter: ChangeFilter, page: { size: number; before?: number }) {
    return this.#database.query(caller.signal, (db) =>
      listChanges(db, caller.project, filter, page),
    );
  }

  createVersion(caller: Caller, version: NewVersion) {
    return this.#mutate(caller, version.name, (mutation) => createVersion(mutation, version));
  }

  setLabels(caller: Caller, edit: Edit & { moves: readonly LabelMove[] }) {
    return this.#mutate(caller, edit.name, (mutation) => setLabels(mutation, edit));
  }

  setTags(caller: Caller, edit: Edit & { tags: readonly string[] }) {
    return this.#mutate(caller, edit.name, (mutation) => setTags(mutation, edit));
  }

  deleteVersions(caller: Caller, edit: Edit & { versions: readonly number[] | "all" }) {
    return this.#mutate(caller, edit.name, (mutation) => deleteVersions(mutation, edit));
  }

  #mutate<Result>(
    { project, actor, origin, signal }: Caller,
    name: string,
    work: (mutation: Mutation) => Promise<Result>,
  ): Promise<Result> {
    return this.#database.transaction(signal, (db) =>
      work({ db, prompt: { project, name }, actor, origin, now: this.#now() }),
    );
  }
}
