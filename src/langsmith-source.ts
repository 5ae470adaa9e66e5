/** Wires a LangSmith as the place where prompts live. */

import type { Settings } from "./settings.ts";
import type { ConnectionParts, SourceConnection } from "./sources/connection.ts";

/** The LangSmith in which the prompts of project `default` live, where they do. */
export async function langsmithSource(
  settings: Settings,
  parts: Omit<ConnectionParts, "pollMs">,
): Promise<SourceConnection | undefined> {
  const { source, langsmithEndpoint: endpoint, langsmithApiKey: apiKey } = settings;
  if (source !== "langsmith" || apiKey === undefined) return undefined;
  // Loaded when it is needed: it brings LangSmith's own package.
  const { connectLangsmith } = await import("./sources/langsmith/connect.ts");
  return connectLangsmith({ endpoint, apiKey }, { ...parts, pollMs: settings.langsmithPoll });
}
