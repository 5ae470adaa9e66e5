import { Faults } from "../faults.ts";

export const FAULTS = new Faults("LangSmith", "LANGSMITH_API_KEY", messageOf);

/** What LangSmith says, and of a body that it does not take what is wrong where. */
function messageOf(body: { detail?: unknown; error?: unknown }): string | undefined {
  const { detail, error } = body;
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) return detail.slice(0, 5).flatMap(issueText).join("; ");
  return typeof error === "string" ? error : undefined;
}

function issueText(issue: unknown): string[] {
  const { loc, msg } = Object(issue) as { loc?: unknown; msg?: unknown };
  if (typeof msg !== "string") return [];
  return [Array.isArray(loc) ? `${loc.join(".")}: ${msg}` : msg];
}
