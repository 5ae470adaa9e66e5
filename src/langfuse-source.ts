/** Wires a Langfuse as the place where prompts live. */

import type { Settings } from "./settings.ts";
import type { ConnectionParts } from "./sources/connection.ts";
import type { LangfuseAccess } from "./sources/langfuse/api.ts";
import type { LangfuseConnection } from "./sources/langfuse/connect.ts";

/** The Langfuse that the settings name, which have its keys then. */
export function langfuseOf(settings: Settings): LangfuseAccess | undefined {
  const { langfuseBaseUrl, langfusePublicKey, langfuseSecretKey } = settings;
  if (langfuseBaseUrl === undefined) return undefined;
  const keys = { publicKey: langfusePublicKey ?? "", secretKey: langfuseSecretKey ?? "" };
  return { baseUrl: langfuseBaseUrl, ...keys };
}

/** The Langfuse in which the prompts of project `default` live, where they do. */
export async function langfuseSource(
  settings: Settings,
  parts: Omit<ConnectionParts, "pollMs">,
): Promise<LangfuseConnection | undefined> {
  const access = langfuseOf(settings);
  if (settings.source !== "langfuse" || access === undefined) return undefined;
  // Loaded when it is needed: it brings Langfuse's own package.
  const { connectLangfuse } = await import("./sources/langfuse/connect.ts");
  const { langfusePoll: pollMs, langfuseWebhookSecret: webhookSecret } = settings;
  return connectLangfuse({ ...parts, access, pollMs, webhookSecret });
}
