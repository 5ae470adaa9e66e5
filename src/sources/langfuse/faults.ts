import { Faults } from "../faults.ts";

export const FAULTS = new Faults(
  "Langfuse",
  "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY",
  messageOf,
);

/** What Langfuse says, and of a body that it does not take what is wrong where. */
function messageOf(body: { message?: unknown; error?: unknown }): string | undefined {
  const { message, error } = body;
  if (typeof message !== "string") return undefined;
  const issues = Array.isArray(error) ? error.slice(0, 5).flatMap(issueText) : [];
  return [message, ...issues].join("; ");
}

function issueText(issue: unknown): string[] {
  const { path, message } = Object(issue) as { path?: unknown; message?: unknown };
  if (typeof message !== "string") return [];
  return [Array.isArray(path) ? `${path.join(".")}: ${message}` : message];
}
