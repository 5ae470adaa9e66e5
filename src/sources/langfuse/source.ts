import pLimit from "p-limit";
import { PromptdError, throwIfAborted } from "../../core/errors.ts";
import { allowsPrompt } from "../../core/keys.ts";
import { promptNotFound } from "../../core/not-found.ts";
import type {
  Caller,
  CatalogFilter,
  Edit,
  LabelEdit,
  NewVersion,
  Page,
  PromptSource,
} from "../../core/ports.ts";
import {
  LATEST_LABEL,
  type Pointer,
  type PromptInfo,
  type PromptVersion,
  type Selector,
  type VersionInfo,
} from "../../core/prompt.ts";
import type { SourceAsked, SourceJournal } from "../../core/source-journal.ts";
import { type Made, mutate } from "../mutation.ts";
import { CONCURRENT } from "../requests.ts";
import { Revisions } from "../revisions.ts";
import {
  type Entry,
  newestOf,
  selectionMissing,
  toCatalogEntry,
  toVersion,
  type VersionAnswer,
} from "./answers.ts";
import type { LangfuseApi } from "./api.ts";
import { createVersion } from "./create-version.ts";
import { deleteVersions } from "./delete-versions.ts";
import { placesOfAll } from "./places.ts";
import { setLabels } from "./set-labels.ts";

/** Labels shown of a prompt in a list. */
const SHOWN_LABELS = 100;

/**
 * Prompts in a Langfuse. What it cannot do is refused with the reason: taking
 * labels away, setting tags, moves that wait for approval, templates of format fstring.
 */
export class LangfuseSource implements PromptSource {
  readonly #api: LangfuseApi;
  readonly #journal: SourceJournal;
  readonly #revisions: Revisions;

  /** @param now milliseconds since 1970 */
  constructor(api: LangfuseApi, journal: SourceJournal, now: () => number = Date.now) {
    this.#api = api;
    this.#journal = journal;
    this.#revisions = new Revisions(journal, now);
  }

  async find(caller: Caller, name: string, selector: Selector): Promise<Pointer> {
    const found = await this.load(caller, name, selector);
    const { type, version, contentHash, revision, updatedAt } = found;
    return { name, type, version, contentHash, revision, updatedAt };
  }

  async load(
    { project, signal }: Caller,
    name: string,
    selector: Selector,
  ): Promise<PromptVersion> {
    throwIfAborted(signal);
    // Before the prompt: what was changed meanwhile must not look as if it were in the answer.
    const revision = await this.#revisions.of(project, name);
    try {
      return toVersion(await this.#api.get(name, selector), revision);
    } catch (thrown) {
      const error = PromptdError.from(thrown);
      throw error.code === "not_found" ? await this.#missing(name, selector, error) : error;
    }
  }

  async listPrompts(
    { project, promptPatterns, signal }: Caller,
    filter: { label?: string; tag?: string; folder?: string },
    page: { size: number; after?: string },
  ): Promise<Page<PromptInfo, string>> {
    throwIfAborted(signal);
    const { label = LATEST_LABEL, tag, folder } = filter;
    const found = (await this.#api.all({}))
      .filter(
        (entry) =>
          entry.labels.includes(label) &&
          (tag === undefined || entry.tags.includes(tag)) &&
          (folder === undefined || entry.name.startsWith(`${folder}/`)) &&
          (page.after === undefined || bytewise(entry.name, page.after) > 0) &&
          allowsPrompt(promptPatterns, entry.name),
      )
      .sort((a, b) => bytewise(a.name, b.name));
    const shown = found.slice(0, page.size);
    const names = shown.map(({ name }) => name);
    const revisions = await this.#revisions.ofAll(project, names);
    const labels = shown.map((entry) => [entry, shownLabels(entry)] as const);
    const places = await placesOfAll(this.#api, labels);
    const items = shown.map((entry) => {
      const revision = revisions.get(entry.name) ?? 0;
      return toPromptInfo(entry, places.get(entry.name) ?? new Map(), revision);
    });
    const last = names.at(-1);
    return found.length > page.size && last !== undefined ? { items, next: last } : { items };
  }

  async catalog(
    { promptPatterns = [], signal }: Caller,
    filter: CatalogFilter,
    { size, skip }: { size: number; skip: number },
  ) {
    throwIfAborted(signal);
    const { since, until, ...texts } = filter;
    const listing = {
      ...texts,
      ...(since && { fromUpdatedAt: since.toISOString() }),
      ...(until && { toUpdatedAt: until.toISOString() }),
    };
    if (promptPatterns.length === 0) {
      const page = await this.#api.page(listing, Math.floor(skip / size) + 1, size);
      return { items: page.entries.map(toCatalogEntry), total: page.totalItems };
    }
    const all = await this.#api.all(listing);
    const allowed = all.filter(({ name }) => allowsPrompt(promptPatterns, name));
    const items = allowed.slice(skip, skip + size).map(toCatalogEntry);
    return { items, total: allowed.length };
  }

  async listVersions(
    { project, signal }: Caller,
    name: string,
    { label }: { label?: string },
    page: { size: number; before?: number },
  ) {
    throwIfAborted(signal);
    const revision = await this.#revisions.of(project, name);
    const entry = await this.#api.entry(name);
    if (entry === undefined) throw promptNotFound({ name });
    const labelled = label === undefined ? undefined : await this.#orMissing(name, { label });
    const numbers = entry.versions
      .filter((number) => label === undefined || number === labelled?.version)
      .filter((number) => page.before === undefined || number < page.before)
      .sort((a, b) => b - a);
    const shown = numbers.slice(0, page.size);
    const loaded = await pLimit(CONCURRENT).map(shown, (version) =>
      this.#orMissing(name, { version }),
    );
    const items = loaded.flatMap((version) =>
      version === undefined ? [] : toVersionInfo(version),
    );
    const last = shown.at(-1);
    const next = numbers.length > page.size && last !== undefined ? { next: last } : {};
    return { items, ...next, type: entry.type, tags: entry.tags, revision };
  }

  createVersion(caller: Caller, version: NewVersion) {
    return this.#mutate(caller, { name: version.name }, (mutation) =>
      createVersion(mutation, version),
    );
  }

  setLabels(caller: Caller, edit: LabelEdit) {
    const { moves, rollouts } = edit;
    const labels = moves.map(({ label }) => label);
    const promotes = typeof rollouts === "object" && { labels, revision: rollouts.revision };
    return this.#mutate(caller, { ...edit, ...(promotes && { promotes }) }, (mutation) =>
      setLabels(mutation, edit),
    );
  }

  async setTags(): Promise<never> {
    const message =
      "Langfuse's API sets tags with a new version alone: create one with the tags, or change them in Langfuse";
    throw new PromptdError("refused", message);
  }

  deleteVersions(caller: Caller, edit: Edit & { versions: readonly number[] | "all" }) {
    return this.#mutate(caller, edit, (mutation) => deleteVersions(mutation, edit));
  }

  #mutate<Result extends object>(
    caller: Caller,
    { name, expectedRevision, promotes }: SourceAsked,
    work: Parameters<typeof mutate<LangfuseApi, Result>>[2],
  ): Promise<Made<Result>> {
    const asked = {
      name,
      ...(expectedRevision !== undefined && { expectedRevision }),
      ...(promotes && { promotes }),
    };
    return mutate({ api: this.#api, journal: this.#journal, caller }, asked, work);
  }

  /** Says what there is instead. */
  async #missing(name: string, selector: Selector, error: PromptdError): Promise<PromptdError> {
    const entry = await this.#api.entry(name).catch(() => null);
    if (entry === undefined) return promptNotFound({ name });
    if (entry === null) return new PromptdError("not_found", error.message);
    const there =
      "version" in selector
        ? entry.versions.includes(selector.version)
        : entry.labels.includes(selector.label);
    if (there) {
      // What is known of it must not be given up for that.
      const message = `Langfuse's answers about prompt "${name}" do not agree; try again`;
      return new PromptdError("unavailable", message, { cause: error.cause });
    }
    return selectionMissing(entry, selector);
  }

  async #orMissing(name: string, selector: Selector): Promise<VersionAnswer | undefined> {
    try {
      return await this.#api.get(name, selector);
    } catch (thrown) {
      if (PromptdError.from(thrown).code === "not_found") return undefined;
      throw thrown;
    }
  }
}

function shownLabels({ labels }: Entry): string[] {
  return labels.toSorted().slice(0, SHOWN_LABELS);
}

/** @param places the versions of its labels */
function toPromptInfo(
  entry: Entry,
  places: ReadonlyMap<string, number>,
  revision: number,
): PromptInfo {
  return {
    name: entry.name,
    type: entry.type,
    tags: entry.tags,
    labels: shownLabels(entry).flatMap((label) => {
      const version = places.get(label);
      return version === undefined ? [] : { label, version };
    }),
    latestVersion: newestOf(entry),
    versionCount: entry.versions.length,
    updatedAt: entry.lastUpdatedAt,
    revision,
  };
}

function toVersionInfo(answer: VersionAnswer): VersionInfo {
  const { version, labels, commitMessage, author, createdAt, contentHash, body } = toVersion(
    answer,
    0,
  );
  const { format } = body;
  const sorted = labels.toSorted();
  return { version, labels: sorted, commitMessage, author, createdAt, contentHash, format };
}

/** In the order of UTF-8 bytes. */
function bytewise(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
