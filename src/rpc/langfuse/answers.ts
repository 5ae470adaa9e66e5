/** Prompts as Langfuse shows them. */

import { createHash } from "node:crypto";
import { v5 as uuidOf } from "uuid";
import type { CatalogEntry } from "../../core/ports.ts";
import { type ChatItem, DEFAULT_LABEL, type PromptVersion } from "../../core/prompt.ts";

/** What ids are made from; a random UUID, fixed so that an id stays the same. */
const ID_NAMESPACE = "0f6d3f5e-2f0a-4f43-9d2c-6a3c1f1d2b7e";

/** Langfuse's versions have ids, promptd's have numbers: made from those, so that it always is the same. */
export function idOf(project: string, { name, version }: { name: string; version: number }) {
  return uuidOf(JSON.stringify([project, name, version]), ID_NAMESPACE);
}

/** A version as POST and PATCH answer with it. */
export function versionJson(project: string, version: PromptVersion) {
  const { body } = version;
  return {
    id: idOf(project, version),
    createdAt: version.createdAt,
    updatedAt: version.updatedAt,
    projectId: project,
    createdBy: "API",
    prompt: body.type === "text" ? body.template : body.template.map(itemJson),
    name: version.name,
    version: version.version,
    type: body.type,
    isActive: null as boolean | null,
    config: body.config,
    tags: version.tags,
    labels: version.labels,
    commitMessage: version.commitMessage === "" ? null : version.commitMessage,
  };
}

/** A version as GET answers with it. */
export function resolvedJson(project: string, version: PromptVersion, graph: object | null) {
  return {
    ...versionJson(project, version),
    isActive: version.labels.includes(DEFAULT_LABEL),
    resolutionGraph: graph,
  };
}

function itemJson(item: ChatItem) {
  if (item.type === "placeholder") return { name: item.name, type: item.type };
  return { role: item.role, content: item.content };
}

export function pageJson(
  { items, total }: { items: readonly CatalogEntry[]; total: number },
  { page, limit }: { page: number; limit: number },
) {
  const meta = { page, limit, totalPages: Math.ceil(total / limit), totalItems: total };
  const data = items.map(({ name, type, tags, labels, versions, updatedAt, config }) => ({
    name,
    tags,
    lastUpdatedAt: updatedAt,
    versions,
    labels,
    type,
    lastConfig: config,
  }));
  return { data, meta, pagination: meta };
}

/** A weak one, as Langfuse's are. */
export function etagOf(json: Buffer): string {
  return `W/"${createHash("sha256").update(json).digest("base64url").slice(0, 27)}"`;
}
