/** The one place where the failures of somebody else's service become the domain's. */

import { PromptdError } from "../core/errors.ts";

/** What was wrong, for the log. It never holds what was sent. */
class SourceFault extends Error {
  override readonly name = "SourceFault";
  /** Undefined where there was no answer, or none that can be read. */
  readonly status: number | undefined;
  /** What the service says, where it says something. */
  readonly told: string | undefined;
  /** Whether there was an answer that cannot be read. */
  readonly unreadable: boolean;

  constructor(
    message: string,
    options: { status?: number; told?: string; cause?: unknown; unreadable?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = options.status;
    this.told = options.told;
    this.unreadable = options.unreadable ?? false;
  }
}

/** What a service says is told on, so far. */
const MAX_TOLD = 500;

/** Where a service that asks to wait does not say how long, and the longest that it is believed. */
const DEFAULT_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 3_600_000;

/** How one service fails. */
export class Faults {
  readonly #name: string;
  readonly #keys: string;
  readonly #messageOf: (body: object) => string | undefined;

  /**
   * @param name as messages call the service
   * @param keys the settings to check where it does not let promptd in
   * @param messageOf what it says, in the body of an answer that is a failure
   */
  constructor(name: string, keys: string, messageOf: (body: object) => string | undefined) {
    this.#name = name;
    this.#keys = keys;
    this.#messageOf = messageOf;
  }

  /** @param body parsed from JSON; anything else where it was none */
  ofStatus(status: number, body: unknown, retryAfterMs: number): PromptdError {
    const name = this.#name;
    const said = typeof body === "object" && body !== null ? this.#messageOf(body) : undefined;
    const told = said?.slice(0, MAX_TOLD);
    const fault = (message: string) => ({
      cause: new SourceFault(message, { status, ...(told !== undefined && { told }) }),
    });
    if (status === 429) {
      const options = { ...fault(`${name} answered 429`), retryAfterMs };
      return new PromptdError("unavailable", `${name} asks promptd to wait`, options);
    }
    if (status === 401 || status === 403) {
      const what = `HTTP ${status}: check ${this.#keys}`;
      return new PromptdError("unavailable", `${name} does not let promptd in`, fault(what));
    }
    if (status >= 500) {
      const message = `${name} has a fault (HTTP ${status})`;
      return new PromptdError("unavailable", message, fault(message));
    }
    // Whatever else stands at that address has its own pages for what it does not know.
    if (told === undefined) return this.unreadable(`an answer with HTTP ${status}`);
    if (status === 404) return new PromptdError("not_found", told, fault(told));
    if (status === 409) return new PromptdError("conflict", told, fault(told));
    // In its own words: who calls promptd hears what it would have said to them.
    return new PromptdError("refused", told, fault(`HTTP ${status}`));
  }

  /** @param what of it cannot be read */
  unreadable(what: string): PromptdError {
    const cause = new SourceFault(what, { unreadable: true });
    return new PromptdError("unavailable", `${this.#name} answered what promptd cannot read`, {
      cause,
    });
  }

  /** @param late whether it was given up for taking too long */
  unreached(cause: unknown, late: boolean): PromptdError {
    const message = late
      ? `${this.#name} did not answer in time`
      : `${this.#name} cannot be reached`;
    return new PromptdError("unavailable", message, {
      cause: new SourceFault(message, { cause }),
    });
  }
}

/** Whether there was an answer, which promptd cannot read: others may well be as expected. */
export function isUnreadable({ cause }: PromptdError): boolean {
  return cause instanceof SourceFault && cause.unreadable;
}

/** Whether what was asked for may have been done all the same. */
export function outcomeIsUnknown(error: PromptdError): boolean {
  if (error.code !== "unavailable") return false;
  const { status = 0 } = answerOf(error);
  return status < 400 || status >= 500;
}

/** The answer that a failure was, where it was one. */
export function answerOf({ cause }: PromptdError): Pick<SourceFault, "status" | "told"> {
  return cause instanceof SourceFault ? cause : { status: undefined, told: undefined };
}

/** The header Retry-After in milliseconds, be it seconds or a date. @param now milliseconds since 1970 */
export function retryAfterMs(header: string | null, now: number): number {
  const text = header?.trim() ?? "";
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  if (Number.isNaN(wait)) return DEFAULT_WAIT_MS;
  return Math.min(Math.max(wait, 0), LONGEST_WAIT_MS);
}
