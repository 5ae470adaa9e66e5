/** Langfuse's API for prompts, through its own package: typed, bounded in time, every failure a PromptdError. */

import { Langfuse } from "langfuse";
import pLimit from "p-limit";
import type { z } from "zod";
import { isUnreachable, PromptdError } from "../../core/errors.ts";
import type { PromptBody, Selector } from "../../core/prompt.ts";
import { type Entry, pageAnswer, type VersionAnswer, versionAnswer } from "./answers.ts";
import { faultOfStatus, retryAfterMs, unreached, unreadable } from "./faults.ts";

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

/** When a request ended last, in milliseconds since 1970, and why it got no answer. */
export interface Heard {
  at: number;
  fault: PromptdError | undefined;
}

export interface LangfuseApiOptions {
  /** How long one request may take, its answer included, in milliseconds. */
  timeoutMs?: number;
  /** Milliseconds since 1970. */
  now?: () => number;
}

const TIMEOUT_MS = 5000;

/** A read without an answer is sent again beside it after this time: one that hangs goes on hanging when Langfuse is back. */
const AGAIN_MS = 1000;

/** The most that Langfuse puts on a page. */
export const PAGE = 100;

/** More prompts than are read through: 100,000. */
const MAX_PAGES = 1000;

/** Requests of one question at a time. */
export const CONCURRENT = 8;

export class LangfuseApi {
  readonly #access: LangfuseAccess;
  readonly #client: Langfuse["api"];
  readonly #timeoutMs: number;
  readonly #now: () => number;
  /** Langfuse has asked for nothing to be sent until then. */
  #quietUntil = 0;
  #heard: Heard = { at: Number.NEGATIVE_INFINITY, fault: undefined };
  /** What is being asked. */
  readonly #open = new Set<AbortController>();
  #closed = false;

  constructor(access: LangfuseAccess, { timeoutMs, now }: LangfuseApiOptions = {}) {
    this.#access = { ...access, baseUrl: access.baseUrl.replace(/\/+$/, "") };
    // Of the package only its client for the API: nothing is traced.
    this.#client = new Langfuse({ ...this.#access, enabled: false }).api;
    this.#timeoutMs = timeoutMs ?? TIMEOUT_MS;
    this.#now = now ?? Date.now;
  }

  /** Gives up what is being asked, and all that will be. */
  close(): void {
    this.#closed = true;
    for (const request of this.#open) request.abort();
  }

  /** What became of the last request. */
  get heard(): Heard {
    return this.#heard;
  }

  /** @throws not_found, unavailable */
  async get(name: string, selector: Selector): Promise<VersionAnswer> {
    // Composition is resolved here, so that each part is known by itself.
    const query = { promptName: encodeURIComponent(name), ...selector, resolve: "false" };
    const found = await this.#ask(versionAnswer, (params) =>
      insistently(() => this.#client.promptsGet(query, params)),
    );
    const wrong = "version" in selector && found.version !== selector.version;
    if (found.name !== name || wrong) throw unreadable("an answer about another version");
    return found;
  }

  /** What there is of one prompt; undefined where there is none. @throws unavailable */
  async entry(name: string): Promise<Entry | undefined> {
    const { entries } = await this.page({ name }, 1);
    return entries.find((entry) => entry.name === name);
  }

  /** One page, from 1. @throws unavailable */
  async page(listing: Listing, page: number, limit = PAGE, timeoutMs = this.#timeoutMs) {
    const { data, meta } = await this.#ask(
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
    return this.#ask(versionAnswer, (params) => this.#client.promptsCreate(version, params));
  }

  /** Puts labels on a version, off those that have them. @throws not_found, refused, unavailable */
  async label(name: string, version: number, newLabels: readonly string[]): Promise<void> {
    const path = encodeURIComponent(name);
    await this.#ask(versionAnswer, (params) =>
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
    await this.#send(async ({ signal }) => {
      const request = { method: "DELETE", headers: { authorization: `Basic ${key}` }, signal };
      const response = await fetch(`${baseUrl}${path}${query}`, request);
      const text = await response.text();
      if (!response.ok) throw Object.assign(response, { error: parsed(text) });
    });
  }

  /** @throws unavailable for an answer of another shape */
  async #ask<Schema extends z.ZodType>(
    schema: Schema,
    work: (params: { signal: AbortSignal }) => Promise<unknown>,
    timeoutMs?: number,
  ): Promise<z.output<Schema>> {
    const answer = await this.#send(work, timeoutMs);
    const { success, data, error } = schema.safeParse(answer);
    if (success) return data;
    // Its paths alone: what stands there may be anything.
    const paths = error.issues.slice(0, 5).map(({ path }) => path.join(".") || "the answer");
    throw unreadable(`not as expected: ${paths.join(", ")}`);
  }

  async #send<Answer>(
    work: (params: { signal: AbortSignal }) => Promise<Answer>,
    timeoutMs = this.#timeoutMs,
  ): Promise<Answer> {
    const wait = this.#quietUntil - this.#now();
    if (wait > 0) throw faultOfStatus(429, undefined, wait);
    try {
      const answer = await this.#within(work, timeoutMs);
      this.#heard = { at: this.#now(), fault: undefined };
      return answer;
    } catch (thrown) {
      const error = PromptdError.from(thrown);
      this.#heard = { at: this.#now(), fault: isUnreachable(error) ? error : undefined };
      throw error;
    }
  }

  async #within<Answer>(
    work: (params: { signal: AbortSignal }) => Promise<Answer>,
    timeoutMs: number,
  ): Promise<Answer> {
    const request = new AbortController();
    if (this.#closed) request.abort();
    this.#open.add(request);
    const timer = setTimeout(() => request.abort(), timeoutMs);
    try {
      const answer = await work({ signal: request.signal });
      // The package answers null for a body that it could not read to its end.
      request.signal.throwIfAborted();
      return answer;
    } catch (thrown) {
      if (!(thrown instanceof Response)) throw unreached(thrown, request.signal.aborted);
      const { status, headers } = thrown;
      // Of a body that is not JSON the package keeps the parser's complaint, which quotes it.
      const body = "error" in thrown && !(thrown.error instanceof Error) ? thrown.error : undefined;
      const waitMs = retryAfterMs(headers.get("retry-after"), this.#now());
      if (status === 429) this.#quietUntil = this.#now() + waitMs;
      throw faultOfStatus(status, body, waitMs);
    } finally {
      clearTimeout(timer);
      // What was sent more than once has been answered once.
      request.abort();
      this.#open.delete(request);
    }
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

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
