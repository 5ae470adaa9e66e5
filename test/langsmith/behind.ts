import { Client } from "langsmith";
import type { PromptBody } from "../../src/core/prompt.ts";
import { manifestOf } from "../../src/sources/langsmith/manifest.ts";
import { startService, type TestService } from "../support/service.ts";
import { type StandIn, startStandIn } from "./stand-in.ts";

/** A service whose prompts live in a LangSmith, and somebody else there. */
export interface Behind {
  standIn: StandIn;
  service: TestService;
  apiKey: string;
  /** LangSmith's own package, in the same workspace. */
  others: Client;
  /** Makes a commit there, and answers with its hash. */
  push(name: string, template: string, tags?: string[]): Promise<string>;
  close(): Promise<void>;
}

export async function startBehind(env: Record<string, string> = {}): Promise<Behind> {
  const standIn = await startStandIn();
  const apiKey = standIn.newWorkspace();
  const others = new Client({ apiUrl: standIn.url, apiKey, disablePromptCache: true });
  const service = await startService({
    PROMPTD_SOURCE: "langsmith",
    PROMPTD_LANGSMITH_POLL: "1h",
    LANGSMITH_ENDPOINT: standIn.url,
    LANGSMITH_API_KEY: apiKey,
    ...env,
  });
  return {
    standIn,
    service,
    apiKey,
    others,
    async push(name, template, commitTags = []) {
      await others.pushPrompt(name, { object: manifestOf(text(template)), commitTags });
      return (await others.pullPromptCommit(name)).commit_hash;
    },
    async close() {
      await service.close();
      standIn.close();
    },
  };
}

export function text(template: string): PromptBody {
  return { type: "text", format: "fstring", template, config: {} };
}
