/** A LangSmith as the place where a project's prompts live. */

import { type ConnectionParts, connect, type SourceConnection } from "../connection.ts";
import { LangsmithApi } from "./api.ts";
import type { LangsmithAccess } from "./client.ts";
import { LangsmithSource } from "./source.ts";

export function connectLangsmith(
  access: LangsmithAccess,
  parts: ConnectionParts,
): SourceConnection {
  const api = new LangsmithApi(access);
  return connect(api, new LangsmithSource(api, parts.journal), parts);
}
