/** Wires a Langfuse as the place where prompts live. */

import type { Logger } from "pino";
import type { Feed } from "./core/feed.ts";
import { DEFAULT_PROJECT } from "./core/keys.ts";
import type { Settings } from "./settings.ts";
import type { LangfuseAccess } from "./sources/langfuse/api.ts";
import type { LangfuseConnection } from "./sources/langfuse/connect.ts";
import type { Database } from "./store/database.ts";
import { StoredSourceFollowing } from "./store/source-following.ts";
import { StoredSourceJournal } from "./store/source-journal.ts";

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
  access: LangfuseAccess | undefined,
  database: Database,
  feed: Feed,
  log: Logger,
): Promise<LangfuseConnection | undefined> {
  if (settings.source !== "langfuse" || access === undefined) return undefined;
  // Loaded when it is needed: it brings Langfuse's own package.
  const { connectLangfuse } = await import("./sources/langfuse/connect.ts");
  return connectLangfuse({
    access,
    project: DEFAULT_PROJECT,
    journal: new StoredSourceJournal(database),
    following: new StoredSourceFollowing(database),
    pollMs: settings.langfusePoll,
    webhookSecret: settings.langfuseWebhookSecret,
    onChanges: () => feed.catchUp(),
    onState: (err) => {
      if (err === undefined) log.info("changes in Langfuse are followed again");
      else log.warn({ err }, "changes in Langfuse cannot be followed");
    },
  });
}
