/** The one place where Langfuse's failures become the domain's. */

import { PromptdError } from "../../core/errors.ts";

/** What was wrong, for the log. It never holds what was sent. */
class LangfuseFault extends Error {
  override readonly name = "LangfuseFault";
  /** Undefined where there was no answer, or none that can be read. */
  readonly status: number | undefined;
  /** What Langfuse says, where it says something. */
  readonly told: string | undefined;

  constructor(message: string, options: { status?: number; told?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = options.status;
    this.told = options.told;
  }
}

const UNREADABLE = "Langfuse answered what promptd cannot read";

/** What Langfuse says is told on, so far. */
const MAX_TOLD = 500;

/** Where a Langfuse that asks to wait does not say how long, and the longest that it is believed. */
const DEFAULT_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 3_600_000;

/** @param body parsed from JSON; anything else where it was none */
export function faultOfStatus(status: number, body: unknown, retryAfterMs: number): PromptdError {
  const told = messageOf(body);
  const fault = (message: string) => ({
    cause: new LangfuseFault(message, { status, ...(told !== undefined && { told }) }),
  });
  if (status === 429) {
    const options = { ...fault("Langfuse answered 429"), retryAfterMs };
    return new PromptdError("unavailable", "Langfuse asks promptd to wait", options);
  }
  if (status === 401 || status === 403) {
    const what = `HTTP ${status}: check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY`;
    return new PromptdError("unavailable", "Langfuse does not let promptd in", fault(what));
  }
  if (status >= 500) {
    const message = `Langfuse has a fault (HTTP ${status})`;
    return new PromptdError("unavailable", message, fault(message));
  }
  // Whatever else stands at that address has its own pages for what it does not know.
  if (told === undefined) return unreadable(fault(`an answer with HTTP ${status}`).cause);
  if (status === 404) return new PromptdError("not_found", told, fault(told));
  if (status === 409) return new PromptdError("conflict", told, fault(told));
  // In Langfuse's words: who calls its API here hears what it would have said there.
  return new PromptdError("refused", told, fault(`HTTP ${status}`));
}

export function unreadable(cause: unknown): PromptdError {
  return new PromptdError("unavailable", UNREADABLE, {
    cause: cause instanceof LangfuseFault ? cause : new LangfuseFault(UNREADABLE, { cause }),
  });
}

/** Whether there was an answer, which promptd cannot read: others may well be as expected. */
export function isUnreadable({ message }: PromptdError): boolean {
  return message === UNREADABLE;
}

/** @param late whether it was given up for taking too long */
export function unreached(cause: unknown, late: boolean): PromptdError {
  const message = late ? "Langfuse did not answer in time" : "Langfuse cannot be reached";
  return new PromptdError("unavailable", message, { cause: new LangfuseFault(message, { cause }) });
}

/** Whether what was asked for may have been done all the same. */
export function outcomeIsUnknown(error: PromptdError): boolean {
  if (error.code !== "unavailable") return false;
  const { status = 0 } = answerOf(error);
  return status < 400 || status >= 500;
}

/** The answer that a failure was, where it was one. */
export function answerOf({ cause }: PromptdError): Pick<LangfuseFault, "status" | "told"> {
  return cause instanceof LangfuseFault ? cause : { status: undefined, told: undefined };
}

/** The header Retry-After in milliseconds, be it seconds or a date. @param now milliseconds since 1970 */
export function retryAfterMs(header: string | null, now: number): number {
  const text = header?.trim() ?? "";
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  if (Number.isNaN(wait)) return DEFAULT_WAIT_MS;
  return Math.min(Math.max(wait, 0), LONGEST_WAIT_MS);
}

/** What Langfuse says, and of a body that it does not take what is wrong where. */
function messageOf(body: unknown): string | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const { message, error } = body as { message?: unknown; error?: unknown };
  if (typeof message !== "string") return undefined;
  const issues = Array.isArray(error) ? error.slice(0, 5).flatMap(issueText) : [];
  return [message, ...issues].join("; ").slice(0, MAX_TOLD);
}

function issueText(issue: unknown): string[] {
  const { path, message } = Object(issue) as { path?: unknown; message?: unknown };
  if (typeof message !== "string") return [];
  return [Array.isArray(path) ? `${path.join(".")}: ${message}` : message];
}
