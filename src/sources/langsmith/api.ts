/** LangSmith's API for prompts: its own package where that has a call, bounded in time, every failure a PromptdError. */

import pLimit from "p-limit";
import { z } from "zod";
import { PromptdError } from "../../core/errors.ts";
import type { JsonValue } from "../../core/prompt.ts";
import type { Sighting } from "../../core/source-journal.ts";
import type { Place } from "../place.ts";
import { CONCURRENT, fetched, type Heard, type RequestOptions, Requests } from "../requests.ts";
import {
  type Commit,
  type CommitTag,
  commitAnswer,
  commitTagsAnswer,
  createdAnswer,
  type History,
  isHandle,
  manifestAnswer,
  type Repo,
  repoAnswer,
  toSighting,
} from "./answers.ts";
import { called, type LangsmithAccess } from "./client.ts";
import { FAULTS } from "./faults.ts";

export interface NewCommit {
  manifest: JsonValue;
  /** Hash of the newest commit that the caller has seen. */
  parent: string | undefined;
  description: string;
}

/** For what takes many requests, one after the other. */
const PAGES_TIMEOUT_MS = 60_000;

/** More than are read through. */
const MAX_PROMPTS = 100_000;
const MAX_COMMITS = 10_000;

/** One's own workspace, as an owner of prompts. */
const OWN = "-";

export class LangsmithApi implements Place {
  readonly name = "LangSmith";
  readonly #access: LangsmithAccess;
  readonly #requests: Requests;

  constructor({ endpoint, apiKey }: LangsmithAccess, options?: RequestOptions) {
    this.#access = { endpoint: endpoint.replace(/\/+$/, ""), apiKey };
    this.#requests = new Requests(FAULTS, options);
  }

  /** Gives up what is being asked, and all that will be. */
  close(): void {
    this.#requests.close();
  }

  /** What became of the last request. */
  get heard(): Heard {
    return this.#requests.heard;
  }

  /** Asks for no more than an answer. @throws unavailable */
  async reach(timeoutMs: number): Promise<void> {
    const { endpoint } = this.#access;
    await this.#requests.ask(
      z.object({}),
      ({ signal }) => fetched(`${endpoint}/settings`, this.#request("GET", signal)),
      timeoutMs,
    );
  }

  async sighting(prompt: string): Promise<Sighting> {
    const repo = await this.#repo(prompt);
    return toSighting(prompt, repo && { repo, tags: await this.#tags(prompt) });
  }

  async sightings(): Promise<Sighting[]> {
    const repos = await this.repos();
    const limit = pLimit(CONCURRENT);
    try {
      return await limit.map(repos, async (repo) =>
        toSighting(repo.repo_handle, { repo, tags: await this.tagsOf(repo) }),
      );
    } finally {
      // After a failure all are asked for again soon.
      limit.clearQueue();
    }
  }

  async changedSince(time: Date): Promise<Pick<Sighting, "name" | "updatedAt">[]> {
    const changed = await this.#repos((repo) => repo.updated_at >= time);
    return changed.map(({ repo_handle: name, updated_at }) => ({
      name,
      updatedAt: updated_at.getTime(),
    }));
  }

  /** The private prompts of the workspace; public ones are listed with those of everybody. @throws too_large, unavailable */
  repos(): Promise<Repo[]> {
    return this.#repos(() => true);
  }

  /** What points at the commits of a prompt that is there. @throws unavailable */
  tagsOf(repo: Repo): Promise<CommitTag[]> {
    return repo.commit_tags?.length === 0 ? Promise.resolve([]) : this.#tags(repo.repo_handle);
  }

  /** What there is of a prompt; undefined where there is none. @throws too_large, unavailable */
  async history(name: string): Promise<History | undefined> {
    if (!isHandle(name)) return undefined;
    const [repo, beside] = await Promise.all([this.#repo(name), this.#beside(name)]);
    return repo && { repo, ...beside };
  }

  /** Of a prompt that was there; without commits where it is gone. @throws too_large, unavailable */
  async historyOf(repo: Repo): Promise<History> {
    return { repo, ...(await this.#beside(repo.repo_handle)) };
  }

  async #beside(name: string): Promise<Pick<History, "commits" | "tags">> {
    const [commits, tags] = await Promise.all([this.#commits(name), this.#tags(name)]);
    const known = new Set(commits.map(({ id }) => id));
    // Made and labelled between the two answers: it must not look as if the label were gone.
    const late = tags.some(({ commit_id }) => !known.has(commit_id));
    return { tags, commits: late ? await this.#commits(name) : commits };
  }

  /** @throws not_found, unavailable */
  async manifest(name: string, hash: string): Promise<unknown> {
    const found = await this.#requests.ask(manifestAnswer, ({ signal }) =>
      called(this.#access, signal, (client) =>
        client.pullPromptCommit(`${OWN}/${name}:${hash}`, { skipCache: true }),
      ),
    );
    if (found.commit_hash !== hash) throw FAULTS.unreadable("an answer about another commit");
    return found.manifest;
  }

  /** Makes a private prompt without versions. @throws conflict, refused, unavailable */
  async createRepo(name: string, tags: readonly string[]): Promise<void> {
    await this.#requests.send(({ signal }) =>
      called(this.#access, signal, (client) =>
        client.createPrompt(`${OWN}/${name}`, { isPublic: false, tags: [...tags] }),
      ),
    );
  }

  /** @throws conflict where the parent is not the newest, refused, unavailable */
  async commit(name: string, { manifest, parent, description }: NewCommit) {
    const { endpoint } = this.#access;
    const body = {
      manifest,
      parent_commit: parent,
      ...(description !== "" && { description }),
    };
    const { commit } = await this.#requests.ask(createdAnswer, ({ signal }) =>
      fetched(`${endpoint}/commits/${OWN}/${name}`, this.#request("POST", signal, body)),
    );
    return commit;
  }

  /** Points a label at a commit. @param there whether it pointed at another one when it was looked at */
  async putTag(name: string, label: string, commit_id: string, there: boolean): Promise<void> {
    const put = (method: "PATCH" | "POST") =>
      this.#requests.send(({ signal }) =>
        method === "PATCH"
          ? fetched(this.#tagUrl(name, label), this.#request(method, signal, { commit_id }))
          : fetched(
              this.#tagUrl(name),
              this.#request(method, signal, { tag_name: label, commit_id }),
            ),
      );
    const [likely, other] = there ? (["PATCH", "POST"] as const) : (["POST", "PATCH"] as const);
    // Somebody else may have put it there or taken it away since.
    const overtaken = there ? "not_found" : "conflict";
    await put(likely).catch((thrown: unknown) => {
      if (PromptdError.from(thrown).code !== overtaken) throw thrown;
      return put(other);
    });
  }

  /** @throws refused, unavailable */
  async removeTag(name: string, label: string): Promise<void> {
    const sent = this.#requests.send(({ signal }) =>
      fetched(this.#tagUrl(name, label), this.#request("DELETE", signal)),
    );
    await orMissing(sent, undefined);
  }

  /** Replaces the tags of a prompt that is there. */
  async setTags(name: string, tags: readonly string[]): Promise<void> {
    await this.#requests.send(({ signal }) =>
      called(this.#access, signal, (client) =>
        client.updatePrompt(`${OWN}/${name}`, { tags: [...tags] }),
      ),
    );
  }

  /** Deletes a prompt that is there, with all its versions. */
  async removeRepo(name: string): Promise<void> {
    await this.#requests.send(({ signal }) =>
      called(this.#access, signal, (client) => client.deletePrompt(`${OWN}/${name}`)),
    );
  }

  #repo(name: string): Promise<Repo | undefined> {
    const asked = this.#requests.ask(repoAnswer, ({ signal }) =>
      called(this.#access, signal, (client) => client.getPrompt(`${OWN}/${name}`)),
    );
    return orMissing(asked, undefined);
  }

  /** Oldest first. */
  async #commits(name: string): Promise<Commit[]> {
    const asked = this.#requests.ask(
      z.array(commitAnswer),
      ({ signal }) =>
        called(this.#access, signal, (client) =>
          gathered(client.listCommits(`${OWN}/${name}`), MAX_COMMITS, `versions of "${name}"`),
        ),
      PAGES_TIMEOUT_MS,
    );
    const commits = await orMissing(asked, []);
    // One that is made meanwhile shifts others over the edges of pages.
    return [...new Map(commits.map((commit) => [commit.id, commit])).values()].reverse();
  }

  /** Those changed last, for as long as they are wanted. */
  async #repos(wanted: (repo: Repo) => boolean): Promise<Repo[]> {
    const found = await this.#requests.ask(
      z.array(repoAnswer),
      ({ signal }) =>
        called(this.#access, signal, (client) =>
          gathered(client.listPrompts({ isPublic: false }), MAX_PROMPTS, "prompts", (repo) => {
            const { data } = repoAnswer.safeParse(repo);
            return data === undefined || wanted(data);
          }),
        ),
      PAGES_TIMEOUT_MS,
    );
    const there = found.filter(({ num_commits }) => num_commits > 0);
    return [...new Map(there.map((repo) => [repo.repo_handle, repo])).values()];
  }

  async #tags(name: string): Promise<CommitTag[]> {
    const asked = this.#requests.ask(commitTagsAnswer, ({ signal }) =>
      fetched(this.#tagUrl(name), this.#request("GET", signal)),
    );
    const tags = await orMissing(asked, []);
    return tags
      .filter(({ tag_name }) => tag_name !== "latest")
      .sort((a, b) => b.updated_at.getTime() - a.updated_at.getTime());
  }

  /** The package has no calls for what points at commits. */
  #tagUrl(name: string, label?: string): string {
    const base = this.#access.endpoint.replace(/(\/api(\/v1)?)?$/, "/api/v1");
    const tags = `${base}/repos/${OWN}/${name}/tags`;
    return label === undefined ? tags : `${tags}/${encodeURIComponent(label)}`;
  }

  #request(method: string, signal: AbortSignal, body?: unknown): RequestInit {
    const type = body !== undefined && { "content-type": "application/json" };
    const headers = { "x-api-key": this.#access.apiKey, ...type };
    return { method, signal, headers, ...(type && { body: JSON.stringify(body) }) };
  }
}

/** @throws too_large */
async function gathered<Item>(
  items: AsyncIterable<Item>,
  most: number,
  what: string,
  wanted: (item: Item) => boolean = () => true,
): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) {
    if (!wanted(item)) break;
    if (found.length === most) {
      throw new PromptdError("too_large", `LangSmith has more than ${most} ${what}`);
    }
    found.push(item);
  }
  return found;
}

async function orMissing<Answer, Missing>(
  asked: Promise<Answer>,
  missing: Missing,
): Promise<Answer | Missing> {
  try {
    return await asked;
  } catch (thrown) {
    if (PromptdError.from(thrown).code === "not_found") return missing;
    throw thrown;
  }
}
