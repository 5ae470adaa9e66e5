import type { Selector } from "./prompt.ts";

/**
 * What went wrong, in the domain's words. `rpc/status.ts` holds the one switch
 * that turns a code into a wire status.
 */
export type ErrorCode =
  /** The prompt, version or label does not exist. */
  | "not_found"
  /** The request breaks a documented rule; `violations` name the fields. */
  | "invalid"
  /** An expected revision or version did not hold; nothing was changed. */
  | "conflict"
  /** The request is well-formed, but the state of the prompt forbids it. */
  | "refused"
  /** No key was sent, or one that is not valid. */
  | "unauthenticated"
  /** The key does not allow it. */
  | "forbidden"
  /** A documented bound on size was passed. */
  | "too_large"
  /** More calls than are allowed, at once or in a time; `retryAfterMs` says when to try again. */
  | "too_many"
  /** Something that promptd depends on cannot be reached now. */
  | "unavailable"
  /** The caller gave up. */
  | "canceled"
  /** The caller's deadline passed. */
  | "deadline"
  /** A defect of promptd. */
  | "internal";

/**
 * Which rule a `refused` request breaks, for those who word it for others than
 * promptd's own clients. Absent where nobody needs to tell it apart.
 */
export type Refusal =
  | { rule: "type_differs" }
  | { rule: "child_missing" | "child_not_text" | "circular"; child: string; selector: Selector }
  | { rule: "included"; by: readonly Inclusion[] };

/** A version that includes another prompt, and by what: a version of it or one of its labels. */
export interface Inclusion {
  name: string;
  version: number;
  childLabel: string | null;
  childVersion: number | null;
}

/** Whether who was asked could not be reached, so that others may answer. */
export function isUnreachable(thrown: unknown): boolean {
  return thrown instanceof PromptdError && ["unavailable", "deadline"].includes(thrown.code);
}

/** A field of the request and what was expected of it. */
export interface Violation {
  /** The field's path in the request, as the proto names it: `moves[1].label`. */
  field: string;
  /** What was expected, as a sentence without a full stop. */
  description: string;
}

/** The one error class: everything that promptd refuses or fails at ends here. */
export class PromptdError extends Error {
  override readonly name = "PromptdError";
  readonly code: ErrorCode;
  readonly violations: readonly Violation[];
  /** How long the caller should wait before it tries again. */
  readonly retryAfterMs: number | undefined;
  readonly refusal: Refusal | undefined;

  /** @param options.cause is logged, and never sent to a caller */
  constructor(
    code: ErrorCode,
    message: string,
    options: {
      cause?: unknown;
      violations?: readonly Violation[];
      retryAfterMs?: number;
      refusal?: Refusal;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
    this.refusal = options.refusal;
  }

  /** An `invalid` error about one or more fields; `Violations` gathers them. */
  static invalid(...violations: Violation[]): PromptdError {
    const message = violations.map((v) => `${v.field}: ${v.description}`).join("; ");
    return new PromptdError("invalid", message, { violations });
  }

  /** The error itself, or an `internal` one that hides what was thrown. */
  static from(thrown: unknown): PromptdError {
    if (thrown instanceof PromptdError) return thrown;
    return new PromptdError("internal", "internal error; the server's log has the cause", {
      cause: thrown,
    });
  }
}

/** More than anybody reads; a request can hold millions of wrong things. */
const MOST_VIOLATIONS = 100;

/** Gathers what is wrong with a request, so that one error names all of it. */
export class Violations {
  readonly #violations: Violation[] = [];

  add(field: string, description: string): void {
    if (this.#violations.length < MOST_VIOLATIONS) this.#violations.push({ field, description });
  }

  /** @throws invalid naming the first hundred, if there is any */
  throwIfAny(): void {
    if (this.#violations.length > 0) throw PromptdError.invalid(...this.#violations);
  }
}

/** @throws canceled, or what the signal was aborted with where that is a PromptdError */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  if (signal.reason instanceof PromptdError) throw signal.reason;
  throw new PromptdError("canceled", "the caller gave up", { cause: signal.reason });
}
