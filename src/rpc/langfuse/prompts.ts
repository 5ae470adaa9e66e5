/** Langfuse's prompt API on a resolver, for what callers ask, and a source, for what is listed and changed. */

import type { Answer } from "../../core/answer.ts";
import { PromptdError } from "../../core/errors.ts";
import { requireValidVersion } from "../../core/new-version.ts";
import type { Caller, NewVersion, PromptSource } from "../../core/ports.ts";
import {
  type ChatItem,
  DEFAULT_LABEL,
  type JsonValue,
  LATEST_LABEL,
  type PromptBody,
  type Selector,
} from "../../core/prompt.ts";
import type { Resolver } from "../../core/resolver.ts";
import { parseMustache } from "../../core/template/mustache.ts";
import { LIMITS } from "../../core/validate.ts";
import { requireIncluded, requirePrompt, requireScope } from "../permissions.ts";
import { etagOf, pageJson, resolvedJson, versionJson } from "./answers.ts";
import { refusalText } from "./errors.ts";
import {
  type NewPrompt,
  readListing,
  readNewLabels,
  readNewPrompt,
  readSelection,
  readVersionNumber,
} from "./requests.ts";
import { resolutionGraph } from "./resolution-graph.ts";

/** An answer, encoded. */
export interface Reply {
  status: number;
  /** Empty: no body. */
  json: Buffer;
  etag?: string;
  /** Of a mutation, for the log. */
  revision?: number;
}

export type LangfusePrompts = ReturnType<typeof langfusePrompts>;

/** A page beyond this is empty anyway, and the database counts no further. */
const MAX_SKIP = 2 ** 31;

const MAX_VERSION = 2 ** 32 - 1;

/** In the history, of what this API does not ask a reason for. */
const REASON = "by Langfuse's API";

export function langfusePrompts({
  resolver,
  source,
}: {
  resolver: Resolver;
  source: PromptSource;
}) {
  /** Encoded once per answer: the same object answers until something of it changes. */
  const replies = new WeakMap<Answer, Promise<Reply>>();

  async function encode({ project, actor }: Caller, answer: Answer): Promise<Reply> {
    // Others wait for it too: it must not end with the one who asked first.
    const graph = await resolutionGraph(resolver, { project, actor }, answer);
    const json = encoded(resolvedJson(project, answer.version, graph));
    return { status: 200, json, etag: etagOf(json) };
  }

  /** The version as it stands now, for the answer of a mutation. */
  async function standing(caller: Caller, status: number, name: string, version: number) {
    const loaded = await source.load(caller, name, { version });
    const json = encoded(versionJson(caller.project, loaded));
    return { status, json, revision: loaded.revision };
  }

  return {
    async get(caller: Caller, name: string, query: URLSearchParams): Promise<Reply> {
      const { version, label, resolve } = readSelection(query);
      const selector = selectorOf(version, label) ?? { label: DEFAULT_LABEL };
      requirePrompt(caller, name);
      const missing = `Prompt not found: '${name}' with ${
        "version" in selector ? `version ${selector.version}` : `label '${selector.label}'`
      }`;
      requireKnowable(name, selector, missing);
      const question = { name, selector, raw: resolve === "false" };
      const { choice } = await resolver.resolve(caller, question).catch(reworded(missing));
      const { answer } = choice;
      if (answer.version.body.format === "jinja") {
        // SDKs would fill it in as mustache, and send the rest to a model.
        const message = `the prompt '${name}' cannot be reached, and its fallback is in jinja, which no SDK fills in`;
        throw new PromptdError("unavailable", message);
      }
      const known = replies.get(answer);
      if (known !== undefined) return known;
      const reply = encode(caller, answer);
      replies.set(answer, reply);
      reply.catch(() => replies.delete(answer));
      return reply;
    },

    async list(caller: Caller, query: URLSearchParams): Promise<Reply> {
      const asked = readListing(query);
      const { name, label, tag, fromUpdatedAt, toUpdatedAt, page, limit } = asked;
      const texts = [name, label, tag].filter((text) => typeof text === "string");
      const found = texts.every((text) => isKnowable(text))
        ? await source.catalog(
            caller,
            {
              ...(name && { name }),
              ...(label && { label }),
              ...(tag && { tag }),
              ...(fromUpdatedAt && { since: fromUpdatedAt }),
              ...(toUpdatedAt && { until: toUpdatedAt }),
            },
            { size: limit, skip: Math.min((page - 1) * limit, MAX_SKIP) },
          )
        : { items: [], total: 0 };
      return { status: 200, json: encoded(pageJson(found, { page, limit })) };
    },

    async create(caller: Caller, body: unknown): Promise<Reply> {
      const asked = readNewPrompt(body);
      const { name } = asked;
      requirePrompt(caller, name);
      const labels = [...new Set(asked.labels)];
      if (labels.some((label) => label !== LATEST_LABEL)) requireScope(caller, "release");
      const version: NewVersion = {
        name,
        body: bodyOf(asked),
        labels,
        commitMessage: asked.commitMessage ?? "",
        ...(asked.tags && { tags: [...new Set(asked.tags)] }),
        // Langfuse makes a version each time, and its clients count on it.
        evenIfSame: true,
      };
      requireDistinctNames(version.body);
      requireValidVersion(version);
      requirePlainKeys(version.body.config);
      requireIncluded(caller, version.body);
      const created = await source
        .createVersion(caller, version)
        .catch((thrown) => refused(caller, name, thrown));
      return standing(caller, 201, name, created.version);
    },

    async setLabels(caller: Caller, name: string, segment: string, body: unknown): Promise<Reply> {
      const version = readVersionNumber(segment);
      const labels = readNewLabels(body);
      requirePrompt(caller, name);
      const missing = `Prompt '${name}' version ${version} not found in project`;
      requireKnowable(name, { version }, missing);
      const moves = labels.map((label) => ({ label, version }));
      const { pending } = await source
        .setLabels(caller, { name, moves, reason: REASON })
        .catch(reworded(missing));
      if (pending !== undefined) {
        const message = `no label was moved: one of them needs the approval of a second key, and all wait for it as pending change ${pending.id}`;
        throw new PromptdError("forbidden", message);
      }
      return standing(caller, 200, name, version).catch(reworded(missing));
    },

    async remove(caller: Caller, name: string, query: URLSearchParams): Promise<Reply> {
      const { version, label } = readSelection(query);
      const selector = selectorOf(version, label);
      requirePrompt(caller, name);
      const missing = "Prompt not found";
      if (selector === undefined && (query.has("version") || query.has("label"))) {
        // Langfuse deletes all versions then, which nobody can have meant.
        throw new PromptdError("not_found", missing);
      }
      requireKnowable(name, selector ?? { label: LATEST_LABEL }, missing);
      const edit = { name, reason: REASON };
      const chosen =
        selector === undefined
          ? { ...edit, versions: "all" as const }
          : await source.find(caller, name, selector).then(
              (found) => ({
                ...edit,
                versions: [found.version],
                // A label must not move away between the question and the deletion.
                ...("label" in selector && { expectedRevision: found.revision }),
              }),
              reworded(missing),
            );
      const { revision } = await source
        .deleteVersions(caller, chosen)
        .catch(reworded(missing))
        .catch((thrown) => refused(caller, name, thrown));
      return { status: 204, json: Buffer.alloc(0), revision };
    },
  };

  /** Throws a refusal in Langfuse's words, where it has some. */
  async function refused(caller: Caller, name: string, thrown: unknown): Promise<never> {
    const error = PromptdError.from(thrown);
    const { refusal } = error;
    if (refusal === undefined) throw error;
    if (refusal.rule === "circular" && "label" in refusal.selector) {
      // Langfuse names the version that closes the circle.
      const { child, selector } = refusal;
      const found = await source.find(caller, child, selector).catch(() => undefined);
      const told: typeof refusal =
        found === undefined
          ? { ...refusal, rule: "child_missing" }
          : { ...refusal, selector: { version: found.version } };
      throw new PromptdError("refused", refusalText(name, told));
    }
    throw new PromptdError("refused", refusalText(name, refusal));
  }
}

function encoded(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Version 0 and one that is empty count as absent, and so does an empty label beside a version. @throws invalid */
function selectorOf(
  version: number | null | undefined,
  label: string | undefined,
): Selector | undefined {
  if (version && label) throw new PromptdError("invalid", "Cannot specify both version and label");
  if (version) return { version };
  return label === undefined ? undefined : { label };
}

function reworded(missing: string): (thrown: unknown) => never {
  return (thrown) => {
    const error = PromptdError.from(thrown);
    throw error.code === "not_found" ? new PromptdError("not_found", missing) : error;
  };
}

/** Keeps what no database can hold away from it. */
function isKnowable(text: string): boolean {
  return Buffer.byteLength(text) <= LIMITS.nameBytes && !text.includes("\u0000");
}

/** @throws not_found for what cannot be there */
function requireKnowable(name: string, selector: Selector, missing: string): void {
  const sound =
    "version" in selector
      ? selector.version >= 1 && selector.version <= MAX_VERSION
      : isKnowable(selector.label);
  if (!sound || !isKnowable(name)) throw new PromptdError("not_found", missing);
}

function bodyOf({ type, prompt, config }: NewPrompt): PromptBody {
  // Null is no config, as Langfuse has it.
  const common = { format: "mustache" as const, config: (config ?? {}) as JsonValue };
  if (type !== "chat") return { type: "text", template: prompt, ...common };
  const template = prompt.map(
    (item): ChatItem => ("role" in item ? { type: "chatmessage", ...item } : item),
  );
  return { type: "chat", template, ...common };
}

/** The gRPC answers could not hold the key. @throws invalid */
function requirePlainKeys(value: JsonValue): void {
  if (typeof value !== "object" || value === null) return;
  if (Object.hasOwn(value, "__proto__")) {
    const description = "must not hold the key __proto__";
    throw PromptdError.invalid({ field: "config", description });
  }
  for (const child of Object.values(value)) requirePlainKeys(child);
}

/** @throws invalid */
function requireDistinctNames(body: PromptBody): void {
  if (body.type !== "chat") return;
  const placeholders = new Set<string>();
  const variables = new Set<string>();
  for (const item of body.template) {
    if (item.type === "placeholder") placeholders.add(item.name);
    else {
      for (const segment of parseMustache(item.content)) {
        if (segment.kind === "variable") variables.add(segment.name);
      }
    }
  }
  const both = [...variables].filter((name) => placeholders.has(name));
  if (both.length === 0) return;
  const message = `Cannot create prompt, variables and placeholders must be unique, the following are not: ${both.join(", ")}`;
  throw new PromptdError("invalid", message);
}
