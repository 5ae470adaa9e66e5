import type { z } from "zod";
import { isUnreachable, PromptdError } from "../core/errors.ts";
import { type Faults, retryAfterMs } from "./faults.ts";

/** When a request ended last, in milliseconds since 1970, and why it got no answer. */
export interface Heard {
  at: number;
  fault: PromptdError | undefined;
}

export interface RequestOptions {
  /** How long one request may take, its answer included, in milliseconds. */
  timeoutMs?: number;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/**
 * A request, until its signal is aborted. An answer that is a failure is thrown as
 * the Response, with what its JSON says as `error`; a PromptdError stays what it is.
 */
export type Work<Answer> = (params: { signal: AbortSignal }) => Promise<Answer>;

const TIMEOUT_MS = 5000;

/** Requests of one question at a time. */
export const CONCURRENT = 8;

/** Of an answer: far more than a page of prompts, or the longest of them. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/** With these a request, whichever it is, is to be sent again to another path; so often at most. */
const MOVED = new Set([301, 302, 307, 308]);
const MAX_MOVES = 3;

/** Requests to somebody else's service: bounded in time, quiet when it asks for that, every failure a PromptdError. */
export class Requests {
  readonly #faults: Faults;
  readonly #timeoutMs: number;
  readonly #now: () => number;
  /** The service has asked for nothing to be sent until then. */
  #quietUntil = 0;
  #heard: Heard = { at: Number.NEGATIVE_INFINITY, fault: undefined };
  /** What is being asked. */
  readonly #open = new Set<AbortController>();
  #closed = false;

  constructor(faults: Faults, { timeoutMs = TIMEOUT_MS, now = Date.now }: RequestOptions = {}) {
    this.#faults = faults;
    this.#timeoutMs = timeoutMs;
    this.#now = now;
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

  /** @throws unavailable for an answer of another shape */
  async ask<Schema extends z.ZodType>(
    schema: Schema,
    work: Work<unknown>,
    timeoutMs?: number,
  ): Promise<z.output<Schema>> {
    const answer = await this.send(work, timeoutMs);
    const { success, data, error } = schema.safeParse(answer);
    if (success) return data;
    // Its paths alone: what stands there may be anything.
    const paths = error.issues.slice(0, 5).map(({ path }) => path.join(".") || "the answer");
    throw this.#faults.unreadable(`not as expected: ${paths.join(", ")}`);
  }

  async send<Answer>(work: Work<Answer>, timeoutMs = this.#timeoutMs): Promise<Answer> {
    const wait = this.#quietUntil - this.#now();
    if (wait > 0) throw this.#faults.ofStatus(429, undefined, wait);
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

  async #within<Answer>(work: Work<Answer>, timeoutMs: number): Promise<Answer> {
    const request = new AbortController();
    if (this.#closed) request.abort();
    this.#open.add(request);
    const timer = setTimeout(() => request.abort(), timeoutMs);
    try {
      const answer = await work({ signal: request.signal });
      // Of a body that ends too early a package may make null.
      request.signal.throwIfAborted();
      return answer;
    } catch (thrown) {
      if (thrown instanceof PromptdError) throw thrown;
      if (!(thrown instanceof Response)) {
        const late = request.signal.aborted || (thrown as Error)?.name === "TimeoutError";
        throw this.#faults.unreached(thrown, late);
      }
      const { status, headers } = thrown;
      // Of a body that is not JSON a package may keep the parser's complaint, which quotes it.
      const body = "error" in thrown && !(thrown.error instanceof Error) ? thrown.error : undefined;
      const waitMs = retryAfterMs(headers.get("retry-after"), this.#now());
      // Another request may have been told to wait longer.
      if (status === 429) this.#quietUntil = Math.max(this.#quietUntil, this.#now() + waitMs);
      throw this.#faults.ofStatus(status, body, waitMs);
    } finally {
      clearTimeout(timer);
      // What was sent more than once has been answered once.
      request.abort();
      this.#open.delete(request);
    }
  }
}

/** The answer to a plain request. @throws the Response where it is a failure */
export async function fetched(url: string, request: RequestInit, moved = 0): Promise<unknown> {
  const response = await fetch(requestOf(url, request));
  const to = response.headers.get("location");
  if (to !== null && MOVED.has(response.status)) {
    await response.body?.cancel();
    return fetched(placeWithin(url, to, moved), request, moved + 1);
  }
  const text = await textOf(response);
  if (response.ok) return parsed(text);
  throw Object.assign(response, { error: parsed(text) });
}

/** What fetch itself says of an address or a header that cannot be sent quotes it, and it may be secret. */
function requestOf(url: string, request: RequestInit): Request {
  try {
    return new Request(url, { ...request, redirect: "manual" });
  } catch {
    throw new TypeError("the address or the key has characters that cannot be sent");
  }
}

/** Where a request is sent on to. Nobody else gets the key that is sent with it. */
function placeWithin(url: string, to: string, moved: number): string {
  const place = new URL(to, url);
  if (place.origin === new URL(url).origin && moved < MAX_MOVES) return place.href;
  throw new TypeError("it was to be asked elsewhere, where its key is not sent: check its address");
}

/** Undefined where it is too long. */
async function textOf({ body }: Response): Promise<string | undefined> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body ?? []) {
    bytes += piece.length;
    if (bytes > MAX_ANSWER_BYTES) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

/** Undefined where it is not JSON. */
function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
