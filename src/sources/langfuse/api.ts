/** Langfuse's API for prompts, through its own package: typed, bounded in time, every failure a PromptdError. */

import { Langfuse } from "langfuse";
import pLimit from "p-limit";
import { PromptdError } from "../../core/errors.ts";
import type { PromptBody, Selector } from "../../core/prompt.ts";
import type { Sighting } from "../../core/source-journal.ts";
import type { Place } from "../place.ts";
import { CONCURRENT, fetched, type Heard, type RequestOptions, Requests } from "../requests.ts";
import {
  type Entry,
  pageAnswer,
  toSighting,
  type VersionAnswer,
  versionAnswer,
} from "./answers.ts";
import { FAULTS } from "./faults.ts";

/** A Langfuse and the keys to call it with. */
export interface LangfuseAccess {
  baseUrl: string;
  publicKey: string;
  secretKey: string;
}

export interface Listing {
  name?: string;
  label?: string;
  tag?: string;
  fromUpdatedAt?: string;
  toUpdatedAt?: string;
}

export interface NewLangfuseVersion {
  name: string;
  body: PromptBody;
  labels: readonly string[];
  tags?: readonly string[];
  commitMessage: string;
}

/** A read without an answer is sent again beside it after this time: one that hangs goes on hanging when Langfuse is back. */
const AGAIN_MS = 1000;

/** The most that Langfuse puts on a page. */
export const PAGE = 100;

/** More prompts than are read through: 100,000. */
const MAX_PAGES = 1000;

export class LangfuseApi implements Place {
  readonly name = "Langfuse";
  readonly #access: LangfuseAccess;
  readonly #client: Langfuse["api"];
  readonly #requests: Requests;

  constructor(access: LangfuseAccess, options?: RequestOptions) {
    this.#access = { ...access, baseUrl: access.baseUrl.replace(/\/+$/, "") };
    // Of the package only its client for the API: nothing is traced.
    this.#client = new Langfuse({ ...this.#access, enabled: false }).api;
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
    await this.page({}, 1, 1, timeoutMs);
  }

  async sighting(prompt: string): Promise<Sighting> {
    return toSighting(prompt, await this.entry(prompt));
  }

  async sightings(): Promise<Sighting[]> {
    return (await this.all({})).map((entry) => toSighting(entry.name, entry));
  }

  async changedSince(time: Date): Promise<Pick<Sighting, "name" | "updatedAt">[]> {
    const changed = await this.all({ fromUpdatedAt: time.toISOString() });
    return changed.map(({ name, lastUpdatedAt }) => ({ name, updatedAt: lastUpdatedAt.getTime() }));
  }

  /** @throws not_found, unavailable */
  async get(name: string, selector: Selector): Promise<VersionAnswer> {
    // Composition is resolved here, so that each part is known by itself.
    const query = { promptName: encodeURIComponent(name), ...selector, resolve: "false" };
    const found = await this.#requests.ask(versionAnswer, (params) =>
      insistently(() => this.#client.promptsGet(query, params)),
    );
    const wrong = "version" in selector && found.version !== selector.version;
    if (found.name !== name || wrong) throw FAULTS.unreadable("an answer about another version");
    return found;
  }

  /** What there is of one prompt; undefined where there is none. @throws unavailable */
  async entry(name: string): Promise<Entry | undefined> {
    const { entries } = await this.page({ name }, 1);
    return entries.find((entry) => entry.name === name);
  }

  /** One page, from 1. @throws unavailable */
  async page(listing: Listing, page: number, limit = PAGE, timeoutMs?: number) {
    const { data, meta } = await this.#requests.ask(
      pageAnswer,
      (params) => insistently(() => this.#client.promptsList({ ...listing, page, limit }, params)),
      timeoutMs,
    );
    return { entries: data, totalItems: meta.totalItems, totalPages: meta.totalPages };
  }

  /** All pages, each prompt once. @throws too_large, unavailable */
  async all(listing: Listing): Promise<Entry[]> {
    const first = await this.page(listing, 1);
    if (first.totalPages > MAX_PAGES) {
      const message = `Langfuse has ${first.totalItems} prompts; at most ${MAX_PAGES * PAGE} are read through`;
      throw new PromptdError("too_large", message);
    }
    const others = Array.from({ length: Math.max(first.totalPages - 1, 0) }, (_, at) => at + 2);
    const pages = await pLimit(CONCURRENT).map(others, (page) => this.page(listing, page));
    // A prompt that comes or goes meanwhile shifts others over the edges of pages.
    const byName = new Map<string, Entry>();
    for (const { entries } of [first, ...pages]) {
      for (const entry of entries) byName.set(entry.name, entry);
    }
    return [...byName.values()];
  }

  /** @throws refused, conflict, unavailable */
  create({ name, body, labels, tags, commitMessage }: NewLangfuseVersion): Promise<VersionAnswer> {
    const beside = {
      name,
      config: body.config,
      labels: [...labels],
      ...(tags && { tags: [...tags] }),
      ...(commitMessage !== "" && { commitMessage }),
    };
    const version =
      body.type === "text"
        ? { ...beside, type: "text" as const, prompt: body.template }
        : { ...beside, type: "chat" as const, prompt: body.template };
    return this.#requests.ask(versionAnswer, (params) =>
      this.#client.promptsCreate(version, params),
    );
  }

  /** Puts labels on a version, off those that have them. @throws not_found, refused, unavailable */
  async label(name: string, version: number, newLabels: readonly string[]): Promise<void> {
    const path = encodeURIComponent(name);
    await this.#requests.ask(versionAnswer, (params) =>
      this.#client.promptVersionUpdate(path, version, { newLabels: [...newLabels] }, params),
    );
  }

  /** Deletes a version, or all of them. @throws not_found, refused, unavailable */
  async remove(name: string, version?: number): Promise<void> {
    const { baseUrl, publicKey, secretKey } = this.#access;
    const path = `/api/public/v2/prompts/${encodeURIComponent(name)}`;
    const query = version === undefined ? "" : `?version=${version}`;
    const key = Buffer.from(`${publicKey}:${secretKey}`).toString("base64");
    // The package has no call for it.
    await this.#requests.send(({ signal }) => {
      const request = { method: "DELETE", headers: { authorization: `Basic ${key}` }, signal };
      return fetched(`${baseUrl}${path}${query}`, request);
    });
  }
}

/** What is answered first counts. */
async function insistently<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve, reject) => {
      const again = () => void ask().then(resolve, reject);
      timer = setInterval(again, AGAIN_MS);
      again();
    });
  } finally {
    clearInterval(timer);
  }
}
