import { v7 } from "uuid";
import { PromptdError } from "../core/errors.ts";
import type { LabelProtection, PendingChange } from "../core/policy.ts";
import type {
  Caller,
  CatalogFilter,
  ChangeFilter,
  ChangeLog,
  Decision,
  Edit,
  LabelEdit,
  NewVersion,
  PolicyStore,
  PromptSource,
} from "../core/ports.ts";
import type { Pointer, PromptVersion, Selector } from "../core/prompt.ts";
import { approve, reject } from "./approval.ts";
import { catalog } from "./catalog.ts";
import { listChanges } from "./change-log.ts";
import { createVersion } from "./create-version.ts";
import type { Connection, Database } from "./database.ts";
import { deleteVersions } from "./delete-versions.ts";
import { setLabels, setTags } from "./edit-prompt.ts";
import { listLabelPolicies, setLabelPolicy } from "./label-policies.ts";
import { listPrompts, listVersions } from "./lists.ts";
import { findPointer, loadVersion } from "./lookup.ts";
import type { Mutation } from "./mutation.ts";
import { notFound } from "./not-found.ts";
import { findPendingChange, listPendingChanges } from "./pending-changes.ts";
import type { PromptKey } from "./prompt-key.ts";

/** Prompts, their history and the policy of their labels in promptd's own database. */
export class Registry implements PromptSource, ChangeLog, PolicyStore {
  readonly #database: Database;
  readonly #now: () => number;
  readonly #newId: () => string;
  readonly #elsewhere: ReadonlySet<string>;

  /**
   * @param now milliseconds since 1970
   * @param newId a fresh UUID (version 7)
   * @param elsewhere projects whose prompts live in another source
   */
  constructor(
    database: Database,
    now: () => number = Date.now,
    newId: () => string = v7,
    elsewhere: ReadonlySet<string> = new Set(),
  ) {
    this.#database = database;
    this.#now = now;
    this.#newId = newId;
    this.#elsewhere = elsewhere;
  }

  async find(caller: Caller, name: string, selector: Selector): Promise<Pointer> {
    const prompt = { project: caller.project, name };
    const read = (db: Connection) => findPointer(db, prompt, selector);
    const found = await this.#database.query(caller.signal, read);
    return found ?? this.#orNotFound(caller, prompt, selector, read);
  }

  async load(caller: Caller, name: string, selector: Selector): Promise<PromptVersion> {
    const prompt = { project: caller.project, name };
    const read = (db: Connection) => loadVersion(db, prompt, selector);
    const found = await this.#database.query(caller.signal, read);
    return found ?? this.#orNotFound(caller, prompt, selector, read);
  }

  listPrompts(
    caller: Caller,
    filter: { label?: string; tag?: string; folder?: string },
    page: { size: number; after?: string },
  ) {
    return this.#database.snapshot(caller.signal, (db) => listPrompts(db, caller, filter, page));
  }

  catalog(caller: Caller, filter: CatalogFilter, page: { size: number; skip: number }) {
    return this.#database.snapshot(caller.signal, (db) => catalog(db, caller, filter, page));
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

  setLabels(caller: Caller, edit: LabelEdit) {
    return this.#mutate(caller, edit.name, (mutation) => setLabels(mutation, edit));
  }

  setTags(caller: Caller, edit: Edit & { tags: readonly string[] }) {
    return this.#mutate(caller, edit.name, (mutation) => setTags(mutation, edit));
  }

  deleteVersions(caller: Caller, edit: Edit & { versions: readonly number[] | "all" }) {
    return this.#mutate(caller, edit.name, (mutation) => deleteVersions(mutation, edit));
  }

  setLabelPolicy(
    caller: Caller,
    policy: { label: string; protection: LabelProtection; reason: string },
  ) {
    return this.#database.transaction(caller.signal, (db) =>
      setLabelPolicy(db, caller, policy, this.#now()),
    );
  }

  listLabelPolicies({ project, signal }: Caller, page: { size: number; after?: string }) {
    return this.#database.query(signal, (db) => listLabelPolicies(db, project, page));
  }

  listPendingChanges(
    { project, signal }: Caller,
    filter: { name?: string },
    page: { size: number; after?: string },
  ) {
    return this.#database.query(signal, (db) => listPendingChanges(db, project, filter, page));
  }

  findPendingChange({ project, signal }: Caller, id: string) {
    return this.#database.query(signal, (db) => findPendingChange(db, project, id));
  }

  async approvePendingChange(caller: Caller, id: string, reason: string) {
    if (this.#elsewhere.has(caller.project)) {
      const message = `the prompts of project "${caller.project}" live in another source, where no move waits for approval; reject it`;
      throw new PromptdError("refused", message);
    }
    return this.#decide(caller, id, (mutation, change) => approve(mutation, change, reason));
  }

  rejectPendingChange(caller: Caller, id: string, reason: string) {
    return this.#decide(caller, id, (mutation, change) => reject(mutation, change, reason));
  }

  /** What is there instead belongs to the moment in which it was not there. @throws not_found */
  #orNotFound<Found>(
    caller: Caller,
    prompt: PromptKey,
    selector: Selector,
    read: (db: Connection) => Promise<Found | undefined>,
  ): Promise<Found> {
    return this.#database.snapshot(caller.signal, async (db) => {
      const found = await read(db);
      if (found === undefined) throw await notFound(db, prompt, selector);
      return found;
    });
  }

  #decide(
    caller: Caller,
    id: string,
    work: (mutation: Mutation, change: PendingChange) => Promise<Decision>,
  ): Promise<Decision> {
    return this.#database.transaction(caller.signal, async (db) => {
      const change = await findPendingChange(db, caller.project, id);
      return work(this.#mutation(db, caller, change.name), change);
    });
  }

  #mutate<Result>(
    caller: Caller,
    name: string,
    work: (mutation: Mutation) => Promise<Result>,
  ): Promise<Result> {
    return this.#database.transaction(caller.signal, (db) =>
      work(this.#mutation(db, caller, name)),
    );
  }

  #mutation(db: Connection, caller: Caller, name: string): Mutation {
    const { project, actor, origin, scopes, promptPatterns } = caller;
    return {
      db,
      prompt: { project, name },
      actor,
      origin,
      scopes,
      promptPatterns,
      now: this.#now(),
      newId: this.#newId,
    };
  }
}
