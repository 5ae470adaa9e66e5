/** What an application knows of a prompt of its code. */

import { Code } from "@connectrpc/connect";
import type { BatchItem, GetPromptResponse } from "../../../gen/promptd/v1/prompt_service_pb.ts";
import { type ErrorCode, PromptdError } from "../../core/errors.ts";
import { FALLBACK_VERSION, type PromptBody } from "../../core/prompt.ts";
import { fromBodyFields } from "../../rpc/convert.ts";
import type { Declared } from "./declared.ts";

/** How an answer came to be, where the service was asked. */
export interface Resolution {
  /** A UUID, different for each answer. */
  id: string;
  /** Of the label's rollout; absent where there is none. */
  arm?: string;
  /** To be set on the span of the model call. */
  traceAttributes: Readonly<Record<string, string>>;
}

export interface ServedPrompt {
  name: string;
  body: PromptBody;
  /** Absent where the code's own was not registered yet. */
  version?: number;
  /** Whose text it is: the code's, the service's, or what the service, out of reach now, answered last. */
  from: "code" | "service" | "memory";
  /** Absent where the service gave no answer. */
  resolution?: Resolution;
}

/** Before what has failed, or was not there, is asked for again, in milliseconds. */
export const PAUSE_MS = 5000;

/** Before anybody knows it, a prompt is asked for by the label, as one that the service manages. */
export class Standing {
  readonly declared: Declared;
  readonly #now: () => number;
  /** Of the code's own version; undefined until it is registered, and where it was deleted. */
  version: number | undefined;
  /** The prompt has not the label: it is asked for again at this time. */
  #tracked: { until: number } | undefined;
  /** A stream tells of changes: what it says of the label is newer than what calls find. */
  #followed = false;
  #last: ServedPrompt | undefined;
  #quietUntil = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds on any clock that only goes forward */
  constructor(declared: Declared, now: () => number = () => performance.now()) {
    this.declared = declared;
    this.#now = now;
  }

  /** Whether the service is not to be asked now: it has refused this prompt a moment ago. */
  get quiet(): boolean {
    return this.#now() < this.#quietUntil;
  }

  /** Whether the label may point at something, as far as is known. */
  get mayBeManaged(): boolean {
    return this.#tracked === undefined || this.#now() >= this.#tracked.until;
  }

  /** The answer without the service. */
  local(): ServedPrompt {
    return this.#last ?? this.#own();
  }

  /** Takes what the label points at. @throws refused for a fallback file: what is known here is newer */
  managed(response: GetPromptResponse): ServedPrompt {
    const { body, version, resolution } = read(response);
    const { name } = this.declared;
    this.#tracked = undefined;
    this.#last = { name, body, version, from: "memory" };
    return { name, body, version, from: "service", resolution };
  }

  /** A call found that the label points at nothing. */
  unmanaged(): void {
    if (!this.#followed) this.#track(this.#now() + PAUSE_MS);
  }

  /** Takes what a stream tells of the label. */
  told({ result }: BatchItem): void {
    this.#followed = true;
    if (result.case === "error") {
      // Of what else can be wrong, the next call is told.
      if (result.value.code === Code.NotFound) this.#track(Number.POSITIVE_INFINITY);
    } else if (result.value?.prompt?.version !== FALLBACK_VERSION && result.value) {
      this.managed(result.value);
      this.#quietUntil = Number.NEGATIVE_INFINITY;
    }
  }

  /** Nobody tells of changes any more. */
  lost(): void {
    this.#followed = false;
    if (this.#tracked) this.#tracked.until = Math.min(this.#tracked.until, this.#now());
  }

  /** The code's own text, as its version was answered. */
  tracked(response: GetPromptResponse): ServedPrompt {
    const { resolution, contentHash } = read(response);
    // A database that was restored may give the number to another version.
    if (contentHash !== this.declared.contentHash) this.version = undefined;
    return { ...this.#own(), ...(this.version !== undefined && { resolution }) };
  }

  /** The service has an answer for others, and none for this. */
  failed(code: ErrorCode): void {
    this.#quietUntil = this.#now() + PAUSE_MS;
    if (code === "not_found") this.version = undefined;
  }

  /** @param until when the label is asked for again */
  #track(until: number): void {
    this.#tracked = { until };
    this.#last = undefined;
  }

  #own(): ServedPrompt {
    const { version } = this;
    const { name, body } = this.declared;
    return { name, body, ...(version !== undefined && { version }), from: "code" };
  }
}

function read({ prompt, resolution }: GetPromptResponse) {
  if (prompt === undefined || resolution === undefined) {
    throw new PromptdError("internal", "the service's answer has no prompt");
  }
  const { version } = prompt;
  if (version === FALLBACK_VERSION) {
    const message = `promptd answers for "${prompt.name}" with a fallback file`;
    throw new PromptdError("refused", message);
  }
  const { id, arm, traceAttributes, contentHash } = resolution;
  return {
    body: fromBodyFields(prompt),
    version,
    contentHash,
    resolution: { id, ...(arm && { arm }), traceAttributes },
  };
}
