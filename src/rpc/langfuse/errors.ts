/** The one place where the domain's errors become Langfuse's answers. */

import { z } from "zod";
import type { PromptdError, Refusal } from "../../core/errors.ts";

/** An error as Langfuse sends it. */
export interface ErrorAnswer {
  status: number;
  body: { message: string; error?: unknown };
  /** Seconds. */
  retryAfter?: number;
}

/** What of a request its refusal depends on. */
export interface Asked {
  method: string;
  authorization: string | undefined;
  /** Whether it was to be passed on to a Langfuse. */
  proxied: boolean;
}

/** More than anybody reads; a body can be wrong in thousands of places. */
const MAX_ISSUES = 100;

/** The one switch. */
export function toErrorAnswer(error: PromptdError, asked: Asked): ErrorAnswer {
  const { message, retryAfterMs } = error;
  switch (error.code) {
    case "not_found":
      return named(404, message, "LangfuseNotFoundError");
    case "invalid":
      if (error.violations.length === 0) return named(400, message, "InvalidRequestError");
      return { status: 400, body: { message: "Invalid request data", error: issuesOf(error) } };
    case "refused":
      return named(400, message, "InvalidRequestError");
    case "conflict":
      return named(409, message, "LangfuseConflictError");
    case "unauthenticated":
      return unauthenticated(asked);
    case "forbidden":
      return named(403, message, "ForbiddenError");
    case "too_large":
      return named(413, message, "PayloadTooLargeError");
    case "too_many": {
      const retryAfter = Math.ceil((retryAfterMs ?? 0) / 1000);
      return { ...named(429, message, "TooManyRequestsError"), retryAfter };
    }
    case "unavailable":
      return asked.proxied
        ? named(502, message, "BadGatewayError")
        : named(503, message, "ServiceUnavailableError");
    case "canceled":
      return named(499, message, "RequestCanceledError");
    case "deadline":
      return named(504, message, "GatewayTimeoutError");
    case "internal":
      return named(500, "Internal Server Error", message);
  }
}

function named(status: number, message: string, error: string): ErrorAnswer {
  return { status, body: { message, error } };
}

/** Langfuse tells what was sent from what was wrong with it, and leaves `error` out where labels are moved. */
function unauthenticated({ method, authorization }: Asked): ErrorAnswer {
  if (authorization !== undefined && /^Bearer +key_/i.test(authorization)) {
    const message = `Access denied - need to use basic auth with secret key to ${method} prompts`;
    return named(403, message, "ForbiddenError");
  }
  const message =
    authorization === undefined
      ? "No authorization header"
      : /^(Basic|Bearer) /i.test(authorization)
        ? "Invalid credentials. Confirm that you've configured the correct host."
        : "Invalid authorization header";
  return method === "PATCH"
    ? { status: 401, body: { message } }
    : named(401, message, "UnauthorizedError");
}

function issuesOf({ cause, violations }: PromptdError): unknown[] {
  if (cause instanceof z.ZodError) return bounded(cause.issues);
  return violations.map(({ field, description }) => ({
    code: "custom",
    path: [field],
    message: description,
  }));
}

function bounded(issues: z.core.$ZodIssue[]): object[] {
  return issues
    .slice(0, MAX_ISSUES)
    .map((issue) =>
      issue.code === "invalid_union" ? { ...issue, errors: issue.errors.map(bounded) } : issue,
    );
}

/** Why the state of a prompt forbids something, in Langfuse's words. */
export function refusalText(name: string, refusal: Refusal): string {
  switch (refusal.rule) {
    case "type_differs":
      return "Previous versions have different prompt type. Create a new prompt with a different name.";
    case "child_missing":
      return `Prompt dependency not found: ${childText(refusal)}`;
    case "child_not_text":
      return `Prompt dependency is not a text prompt: ${childText(refusal)}`;
    case "circular": {
      const { child, selector } = refusal;
      const which = "version" in selector ? selector.version : `label ${selector.label}`;
      return `Circular dependency detected involving prompt '${child}' version ${which}`;
    }
    case "included": {
      const lines = refusal.by.slice(0, MAX_ISSUES).map((parent) => {
        const child = parent.childVersion === null ? parent.childLabel : `v${parent.childVersion}`;
        return `${parent.name} v${parent.version} depends on ${name} ${child}`;
      });
      return `Other prompts are depending on prompt versions you are trying to delete:\n\n${lines.join("\n")}\n\nPlease delete the dependent prompts first.`;
    }
  }
}

function childText({ child, selector }: Extract<Refusal, { child: string }>): string {
  return "version" in selector
    ? `${child} - version ${selector.version}`
    : `${child} - label ${selector.label}`;
}
