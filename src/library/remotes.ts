/** Opens the places that a folder can be synced with. */

import { baseUrlOf, type Connection, openService } from "../client/service.ts";
import { ServiceSource } from "../client/source.ts";
import { promptChanges } from "../client/watching.ts";
import { DEFAULT_PROJECT } from "../core/keys.ts";
import type { Caller } from "../core/ports.ts";
import { LATEST_LABEL } from "../core/prompt.ts";
import { NO_JOURNAL } from "../core/source-journal.ts";
import type { LangfuseAccess } from "../sources/langfuse/api.ts";
import type { LangsmithAccess } from "../sources/langsmith/client.ts";
import type { Remote } from "../sync/sync.ts";

/** A place, until it is closed. */
export interface OpenRemote extends Remote {
  /** Gives up what is under way. */
  close(): void;
}

/** Places know the caller by the key that they are called with. */
const CALLER: Caller = { project: DEFAULT_PROJECT, actor: "" };

/**
 * The project of a running promptd that the connection's key belongs to.
 *
 * @param label whose moves are told of at once
 * @throws invalid for files that cannot be used for TLS
 */
export async function openPromptd(
  connection: Connection,
  label: string = LATEST_LABEL,
): Promise<OpenRemote> {
  const { service, close } = await openService(connection);
  return {
    source: new ServiceSource(service),
    caller: CALLER,
    identity: `promptd ${withoutSecrets(baseUrlOf(connection))}`,
    changes: (signal) => promptChanges(service, label, signal),
    close,
  };
}

/** The project of a Langfuse that the keys belong to. */
export async function openLangfuse(access: LangfuseAccess): Promise<OpenRemote> {
  // Loaded when they are needed: they bring Langfuse's own package.
  const { LangfuseApi } = await import("../sources/langfuse/api.ts");
  const { LangfuseSource } = await import("../sources/langfuse/source.ts");
  const api = new LangfuseApi(access);
  return {
    source: new LangfuseSource(api, NO_JOURNAL),
    caller: CALLER,
    identity: `langfuse ${withoutSecrets(access.baseUrl)}`,
    close: () => api.close(),
  };
}

/** The workspace of a LangSmith that the key belongs to. */
export async function openLangsmith(access: LangsmithAccess): Promise<OpenRemote> {
  // As above.
  const { LangsmithApi } = await import("../sources/langsmith/api.ts");
  const { LangsmithSource } = await import("../sources/langsmith/source.ts");
  const api = new LangsmithApi(access);
  return {
    source: new LangsmithSource(api, NO_JOURNAL),
    caller: CALLER,
    identity: `langsmith ${withoutSecrets(access.endpoint)}`,
    close: () => api.close(),
  };
}

/** Identities are committed. */
function withoutSecrets(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname.replace(/\/+$/, "");
}
