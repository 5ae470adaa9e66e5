/** What Langfuse answers, and what it means here. */

import { z } from "zod";
import { canonicalBody, contentHash, sha256 } from "../../core/content-hash.ts";
import { PromptdError } from "../../core/errors.ts";
import { LISTED, labelsText, selectionNotFound, versionsText } from "../../core/not-found.ts";
import type { CatalogEntry } from "../../core/ports.ts";
import type {
  ChatItem,
  JsonValue,
  PromptBody,
  PromptVersion,
  Selector,
} from "../../core/prompt.ts";
import type { Sighting } from "../../core/source-journal.ts";
import { Validator } from "../../core/validate.ts";

const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
/** As the contract has it. */
const version = z
  .int()
  .min(1)
  .max(2 ** 32 - 1);

/** Old items have no `type`; those of other types are messages like any other. */
const chatItem = z.union([
  z.object({ type: z.literal("placeholder"), name: z.string() }),
  z.object({ role: z.string(), content: z.string() }),
]);

const ofAnyVersion = {
  name: z.string(),
  version,
  config: z.unknown(),
  labels: z.array(z.string()),
  tags: z.array(z.string()),
  commitMessage: z.string().nullish(),
  createdBy: z.string(),
  createdAt: time,
  updatedAt: time,
};

export const versionAnswer = z.union([
  z.object({ ...ofAnyVersion, type: z.literal("text"), prompt: z.string() }),
  z.object({ ...ofAnyVersion, type: z.literal("chat"), prompt: z.array(chatItem) }),
]);

export type VersionAnswer = z.output<typeof versionAnswer>;

const entry = z.object({
  name: z.string(),
  type: z.enum(["text", "chat"]),
  versions: z.array(version).min(1),
  labels: z.array(z.string()),
  tags: z.array(z.string()),
  lastUpdatedAt: time,
  lastConfig: z.unknown(),
});

export type Entry = z.output<typeof entry>;

export const pageAnswer = z.object({
  data: z.array(entry),
  meta: z.object({ totalItems: z.int().min(0), totalPages: z.int().min(0) }),
});

/** @throws refused for a prompt beyond promptd's limits, which its answers could not hold */
export function toVersion(answer: VersionAnswer, revision: number): PromptVersion {
  const body = toBody(answer);
  requireWithinLimits(answer, body);
  return {
    name: answer.name,
    type: answer.type,
    version: answer.version,
    contentHash: contentHash(canonicalBody(body)),
    revision,
    updatedAt: answer.updatedAt,
    body,
    labels: answer.labels,
    tags: answer.tags,
    commitMessage: answer.commitMessage ?? "",
    author: answer.createdBy,
    createdAt: answer.createdAt,
  };
}

/** As `toVersion` has it, whatever the limits. */
export function hashOf(answer: VersionAnswer): string {
  return contentHash(canonicalBody(toBody(answer)));
}

function toBody(answer: VersionAnswer): PromptBody {
  const common = { format: "mustache" as const, config: toConfig(answer.config) };
  return answer.type === "text"
    ? { type: "text", template: answer.prompt, ...common }
    : { type: "chat", template: answer.prompt.map(toItem), ...common };
}

function requireWithinLimits({ name, version }: VersionAnswer, body: PromptBody): void {
  const validator = new Validator();
  validator.body(body);
  try {
    validator.done();
  } catch (cause) {
    const message = `prompt "${name}" v${version} of Langfuse is beyond promptd's limits: ${PromptdError.from(cause).message}`;
    throw new PromptdError("refused", message, { cause });
  }
}

function toItem(item: z.output<typeof chatItem>): ChatItem {
  return "role" in item ? { type: "chatmessage", ...item } : item;
}

/** Null is no config, as Langfuse has it. */
export function toConfig(config: unknown): JsonValue {
  return (config ?? {}) as JsonValue;
}

export function toCatalogEntry(found: Entry): CatalogEntry {
  return {
    name: found.name,
    type: found.type,
    tags: found.tags,
    labels: found.labels.toSorted(),
    versions: found.versions.toSorted((a, b) => a - b),
    updatedAt: found.lastUpdatedAt,
    config: toConfig(found.lastConfig),
  };
}

/** @param found undefined for a prompt that is not there */
export function toSighting(name: string, found: Entry | undefined): Sighting {
  if (found === undefined) return { name, fingerprint: undefined, updatedAt: 0 };
  const { type, tags, labels, versions, updatedAt, config } = toCatalogEntry(found);
  const all = [type, versions, labels, tags, updatedAt, config];
  // No more than a comparison with itself is asked of it: the order of a config's keys may count.
  return { name, fingerprint: sha256(JSON.stringify(all)), updatedAt: updatedAt.getTime() };
}

/** The highest number; 0 where the prompt is not there. */
export function newestOf(entry: Pick<Entry, "versions"> | undefined): number {
  return (entry?.versions ?? []).reduce((newest, each) => Math.max(newest, each), 0);
}

/** Says what a prompt has instead. */
export function selectionMissing(entry: Entry, selector: Selector): PromptdError {
  const { name, labels } = entry;
  const versions = entry.versions.toSorted((a, b) => a - b);
  const existing =
    "version" in selector
      ? versionsText(versions.slice(0, LISTED), versions.length, newestOf(entry))
      : labelsText(labels.toSorted().slice(0, LISTED), labels.length);
  return selectionNotFound({ name }, selector, existing);
}
