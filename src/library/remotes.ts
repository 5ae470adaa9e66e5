/** Opens the places that a folder can be synced with. */

import pLimit from "p-limit";
import { baseUrlOf, type Connection, openService } from "../client/service.ts";
import { ServiceSource } from "../client/source.ts";
import { promptChanges } from "../client/watching.ts";
import { DEFAULT_PROJECT } from "../core/keys.ts";
import type { Caller } from "../core/ports.ts";
import { LATEST_LABEL, type PromptType, type VersionInfo } from "../core/prompt.ts";
import { NO_JOURNAL } from "../core/source-journal.ts";
import { LIMITS } from "../core/validate.ts";
import type { LangfuseAccess } from "../sources/langfuse/api.ts";
import type { LangsmithAccess } from "../sources/langsmith/client.ts";
import type { Remote } from "../sync/sync.ts";

/** What a place has of a prompt. */
export interface Held {
  name: string;
  /** Of the newest version. */
  type: PromptType;
  /** Numbers of all versions, those too that promptd cannot read. */
  versions: readonly number[];
  /** `latest` may be among them. */
  labels: readonly string[];
  tags: readonly string[];
}

/** A place, until it is closed. */
export interface OpenRemote extends Remote {
  /** All prompts with all their versions. */
  inventory(): Promise<Held[]>;
  /** Gives up what is under way. */
  close(): void;
}

/** Requests at the same time. */
const CONCURRENT = 8;

const PAGE = LIMITS.pageSize;

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
  const source = new ServiceSource(service);
  return {
    source,
    inventory: () => inventoryOf(source),
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
  const { toCatalogEntry } = await import("../sources/langfuse/answers.ts");
  const api = new LangfuseApi(access);
  return {
    source: new LangfuseSource(api, NO_JOURNAL),
    caller: CALLER,
    inventory: async () => (await api.all({})).map(toCatalogEntry),
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
  const source = new LangsmithSource(api, NO_JOURNAL);
  return {
    source,
    inventory: async () => {
      const everything = { size: Number.POSITIVE_INFINITY, skip: 0 };
      return (await source.catalog(CALLER, {}, everything)).items;
    },
    caller: CALLER,
    identity: `langsmith ${withoutSecrets(access.endpoint)}`,
    close: () => api.close(),
  };
}

async function inventoryOf(source: ServiceSource): Promise<Held[]> {
  const names: string[] = [];
  let after: string | undefined;
  do {
    const listed = await source.listPrompts(CALLER, {}, { size: PAGE, ...(after && { after }) });
    names.push(...listed.items.map(({ name }) => name));
    after = listed.next;
  } while (after !== undefined);
  return pLimit(CONCURRENT).map(names, (name) => versionsOf(source, name));
}

async function versionsOf(source: ServiceSource, name: string): Promise<Held> {
  const versions: VersionInfo[] = [];
  let type: PromptType = "text";
  let tags: readonly string[] = [];
  for await (const page of source.versionPages(CALLER, name)) {
    versions.push(...page.items);
    ({ type, tags } = page);
  }
  const labels = versions.flatMap((version) => version.labels);
  return { name, type, tags, labels, versions: versions.map(({ version }) => version) };
}

/** Identities are committed. */
function withoutSecrets(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname.replace(/\/+$/, "");
}
