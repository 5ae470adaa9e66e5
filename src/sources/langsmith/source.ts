import pLimit from "p-limit";
import { PromptdError, throwIfAborted } from "../../core/errors.ts";
import { allowsPrompt } from "../../core/keys.ts";
import type {
  Caller,
  CatalogEntry,
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
  type PromptType,
  type PromptVersion,
  type Selector,
  type VersionInfo,
} from "../../core/prompt.ts";
import type { SourceAsked, SourceJournal } from "../../core/source-journal.ts";
import { type Made, mutate } from "../mutation.ts";
import { CONCURRENT } from "../requests.ts";
import { Revisions } from "../revisions.ts";
import {
  type History,
  labelsOf,
  newestOf,
  placesOf,
  type Repo,
  selected,
  toVersion,
} from "./answers.ts";
import type { LangsmithApi } from "./api.ts";
import { createVersion } from "./create-version.ts";
import { deleteVersions, existing, setLabels, setTags } from "./edits.ts";
import { bodyOf } from "./manifest.ts";

/** Labels shown of a prompt in a list. */
const SHOWN_LABELS = 100;

/**
 * Prompts in a LangSmith: a version is a commit by its place in the list of commits, a label a tag
 * of a commit. What has no place there is refused with the reason: names with folders, configs,
 * deleting some versions, moves that wait for approval.
 */
export class LangsmithSource implements PromptSource {
  readonly #api: LangsmithApi;
  readonly #journal: SourceJournal;
  readonly #revisions: Revisions;

  /** @param now milliseconds since 1970 */
  constructor(api: LangsmithApi, journal: SourceJournal, now: () => number = Date.now) {
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
    const history = await existing(this.#api, name);
    const { version, commit } = selected(history, selector);
    return toVersion(history, version, await this.#manifest(name, commit.commit_hash), revision);
  }

  async listPrompts(
    { project, promptPatterns, signal }: Caller,
    filter: { label?: string; tag?: string; folder?: string },
    page: { size: number; after?: string },
  ): Promise<Page<PromptInfo, string>> {
    throwIfAborted(signal);
    const { folder, ...texts } = filter;
    const found = (await this.#matching(promptPatterns, texts)).filter(
      ({ repo_handle: name }) =>
        (folder === undefined || name.startsWith(`${folder}/`)) &&
        (page.after === undefined || name > page.after),
    );
    const shown = found.slice(0, page.size);
    const names = shown.map(({ repo_handle }) => repo_handle);
    const revisions = await this.#revisions.ofAll(project, names);
    const histories = await this.#histories(shown);
    const items = await pLimit(CONCURRENT).map(histories, async (history) => {
      const { repo } = history;
      const name = repo.repo_handle;
      const labels = [...placesOf(history)].map(([label, version]) => ({ label, version }));
      return {
        name,
        type: await this.#typeOf(history),
        tags: repo.tags,
        labels: labels.sort((a, b) => (a.label < b.label ? -1 : 1)).slice(0, SHOWN_LABELS),
        latestVersion: newestOf(history),
        versionCount: newestOf(history),
        updatedAt: repo.updated_at,
        revision: revisions.get(name) ?? 0,
      };
    });
    const last = names.at(-1);
    return found.length > page.size && last !== undefined ? { items, next: last } : { items };
  }

  async catalog(
    { promptPatterns, signal }: Caller,
    filter: CatalogFilter,
    { size, skip }: { size: number; skip: number },
  ): Promise<{ items: CatalogEntry[]; total: number }> {
    throwIfAborted(signal);
    const { label } = filter;
    const found = await this.#matching(promptPatterns, filter);
    const histories = await this.#histories(found.slice(skip, skip + size));
    const items = await pLimit(CONCURRENT).map(histories, async (history) => {
      const places = placesOf(history);
      const labelled = label === undefined ? undefined : places.get(label);
      const versions = history.commits.map((_, index) => index + 1);
      return {
        name: history.repo.repo_handle,
        type: await this.#typeOf(history),
        tags: history.repo.tags,
        labels: [...(labelled === undefined ? places.keys() : labelsOf(history, labelled))].sort(),
        versions: labelled === undefined ? versions : [labelled],
        updatedAt: history.repo.updated_at,
        config: {},
      };
    });
    return { items, total: found.length };
  }

  async listVersions(
    { project, signal }: Caller,
    name: string,
    { label }: { label?: string },
    page: { size: number; before?: number },
  ) {
    throwIfAborted(signal);
    const revision = await this.#revisions.of(project, name);
    const history = await existing(this.#api, name);
    const labelled = label === undefined ? undefined : placesOf(history).get(label);
    const numbers = history.commits
      .map((_, index) => index + 1)
      .filter((number) => label === undefined || number === labelled)
      .filter((number) => page.before === undefined || number < page.before)
      .reverse();
    const shown = numbers.slice(0, page.size);
    const items = await pLimit(CONCURRENT).map(shown, (version) => this.#info(history, version));
    const last = shown.at(-1);
    const next = numbers.length > page.size && last !== undefined ? { next: last } : {};
    const type = await this.#typeOf(history);
    return { items: items.flat(), ...next, type, tags: history.repo.tags, revision };
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

  async setTags(caller: Caller, edit: Edit & { tags: readonly string[] }) {
    const made = await this.#mutate(caller, edit, (mutation) => setTags(mutation, edit));
    return { revision: made.revision, previous: made.previous };
  }

  deleteVersions(caller: Caller, edit: Edit & { versions: readonly number[] | "all" }) {
    return this.#mutate(caller, edit, (mutation) => deleteVersions(mutation, edit));
  }

  #mutate<Result extends object>(
    caller: Caller,
    { name, expectedRevision, promotes }: SourceAsked,
    work: Parameters<typeof mutate<LangsmithApi, Result>>[2],
  ): Promise<Made<Result>> {
    const asked = {
      name,
      ...(expectedRevision !== undefined && { expectedRevision }),
      ...(promotes && { promotes }),
    };
    return mutate({ api: this.#api, journal: this.#journal, caller }, asked, work);
  }

  /** Of a commit that was listed. */
  async #manifest(name: string, hash: string): Promise<unknown> {
    try {
      return await this.#api.manifest(name, hash);
    } catch (thrown) {
      const error = PromptdError.from(thrown);
      if (error.code !== "not_found") throw error;
      // What is known of it must not be given up for that.
      const message = `LangSmith's answers about prompt "${name}" do not agree; try again`;
      throw new PromptdError("unavailable", message, { cause: error.cause });
    }
  }

  /** In order of name. */
  async #matching(
    patterns: readonly string[] | undefined,
    { name, label = LATEST_LABEL, tag, since, until }: CatalogFilter,
  ): Promise<Repo[]> {
    const found = (await this.#api.repos()).filter(
      (repo) =>
        (name === undefined || repo.repo_handle === name) &&
        (tag === undefined || repo.tags.includes(tag)) &&
        (since === undefined || repo.updated_at >= since) &&
        (until === undefined || repo.updated_at < until) &&
        allowsPrompt(patterns, repo.repo_handle),
    );
    found.sort((a, b) => (a.repo_handle < b.repo_handle ? -1 : 1));
    if (label === LATEST_LABEL) return found;
    const labelled = await pLimit(CONCURRENT).map(found, async (repo) => {
      const tags = await this.#api.tagsOf(repo);
      return tags.some(({ tag_name }) => tag_name === label) ? [repo] : [];
    });
    return labelled.flat();
  }

  /** Of prompts that are still there. */
  async #histories(repos: readonly Repo[]): Promise<History[]> {
    const found = await pLimit(CONCURRENT).map(repos, (repo) => this.#api.historyOf(repo));
    return found.filter((history) => newestOf(history) > 0);
  }

  /** Of the newest version; of one that promptd cannot read `chat`, which most are. */
  async #typeOf(history: History): Promise<PromptType> {
    const { commit } = selected(history, { label: LATEST_LABEL });
    const manifest = await this.#manifest(history.repo.repo_handle, commit.commit_hash);
    try {
      return bodyOf(manifest).type;
    } catch {
      return "chat";
    }
  }

  /** None of a version that promptd cannot read: whoever asks for it hears why. */
  async #info(history: History, number: number): Promise<VersionInfo[]> {
    const { commit } = selected(history, { version: number });
    const manifest = await this.#manifest(history.repo.repo_handle, commit.commit_hash);
    try {
      const found = toVersion(history, number, manifest, 0);
      const { version, commitMessage, author, createdAt, contentHash, body } = found;
      const labels = found.labels.toSorted();
      const { format } = body;
      const sourceVersion = commit.commit_hash;
      const about = { commitMessage, author, createdAt, contentHash, format, sourceVersion };
      return [{ version, labels, ...about }];
    } catch {
      return [];
    }
  }
}
