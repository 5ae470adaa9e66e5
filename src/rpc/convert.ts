/** Between the contract's messages and the domain; generated types go no further than here and the services. */

import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromDate, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import {
  type ChatMessages,
  type ChatTemplate,
  ChatTemplateSchema,
  type Prompt,
  type PromptInfo as PromptInfoMessage,
  PromptInfoSchema,
  PromptSchema,
  PromptType,
  type Resolution,
  Resolution_Reason,
  Resolution_Tier,
  ResolutionSchema,
  TemplateFormat as TemplateFormatMessage,
  type VersionInfo as VersionInfoMessage,
  VersionInfoSchema,
} from "../../gen/promptd/v1/prompt_pb.ts";
import {
  type CreateVersionRequest,
  MissingVariables,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import type { Answer } from "../core/answer.ts";
import type { Tier } from "../core/cache-ports.ts";
import type { VersionCalls } from "../core/call-counts.ts";
import type { Choice, Reason } from "../core/choice.ts";
import { PromptdError } from "../core/errors.ts";
import type {
  ChatItem,
  ChatMessage,
  PromptType as DomainPromptType,
  JsonValue,
  PromptBody,
  PromptInfo,
  Selector,
  TemplateFormat,
  VersionInfo,
} from "../core/prompt.ts";
import { DEFAULT_LABEL } from "../core/prompt.ts";
import type { Missing } from "../core/template/compile.ts";
import { traceAttributes } from "../core/trace-attributes.ts";

// Requests

type SelectorField =
  | { case: "version"; value: number }
  | { case: "label"; value: string }
  | { case: undefined; value?: undefined };

/** Neither a version nor a label means label `production`. */
export function fromSelector(selector: SelectorField): Selector {
  switch (selector.case) {
    case "version":
      return { version: selector.value };
    case "label":
      return { label: selector.value };
    case undefined:
      return { label: DEFAULT_LABEL };
  }
}

/** @throws invalid where there is no template, an item is empty, or the format is not known */
export function fromBodyFields(
  fields: Pick<CreateVersionRequest | Prompt, "template" | "format" | "config">,
): PromptBody {
  const format = fromTemplateFormat(fields.format);
  const config = fields.config === undefined ? {} : fromValue(fields.config, "config");
  switch (fields.template.case) {
    case "text":
      return { type: "text", format, template: fields.template.value, config };
    case "chat":
      return { type: "chat", format, template: fromChatTemplate(fields.template.value), config };
    case undefined:
      throw PromptdError.invalid({ field: "template", description: "expected text or chat" });
  }
}

function fromChatTemplate(template: ChatTemplate): ChatItem[] {
  return template.items.map(({ item }, index) => {
    if (item.case === "message") {
      return { type: "chatmessage", role: item.value.role, content: item.value.content };
    }
    if (item.case === "placeholder") return { type: "placeholder", name: item.value.name };
    const description = "expected a message or a placeholder";
    throw PromptdError.invalid({ field: `chat.items[${index}]`, description });
  });
}

export function fromTemplateFormat(format: TemplateFormatMessage): TemplateFormat {
  switch (format) {
    case TemplateFormatMessage.UNSPECIFIED:
    case TemplateFormatMessage.MUSTACHE:
      return "mustache";
    case TemplateFormatMessage.FSTRING:
      return "fstring";
    case TemplateFormatMessage.JINJA: {
      const description = "JINJA is for fallback files only: expected MUSTACHE or FSTRING";
      throw PromptdError.invalid({ field: "format", description });
    }
    default:
      throw PromptdError.invalid({ field: "format", description: "expected MUSTACHE or FSTRING" });
  }
}

export function fromMissing(missing: MissingVariables): Missing {
  switch (missing) {
    case MissingVariables.UNSPECIFIED:
    case MissingVariables.STRICT:
      return "strict";
    case MissingVariables.KEEP:
      return "keep";
    case MissingVariables.EMPTY:
      return "empty";
    default:
      throw PromptdError.invalid({
        field: "missing_variables",
        description: "expected STRICT, KEEP or EMPTY",
      });
  }
}

/** @throws invalid for NaN, infinity, a value without a kind, and the key `__proto__` */
export function fromValue(value: Value, field: string): JsonValue {
  if (losesKeys(value)) {
    throw PromptdError.invalid({ field, description: "must not hold the key __proto__" });
  }
  try {
    return toJson(ValueSchema, value) as JsonValue;
  } catch {
    throw PromptdError.invalid({ field, description: "expected a JSON value: no NaN or infinity" });
  }
}

/** Protobuf-ES assigns keys one by one, and `__proto__` becomes the prototype instead. */
function losesKeys({ kind }: Value): boolean {
  if (kind.case === "listValue") return kind.value.values.some(losesKeys);
  if (kind.case !== "structValue") return false;
  const { fields } = kind.value;
  const prototype = Object.getPrototypeOf(fields);
  if (prototype !== Object.prototype && prototype !== null) return true;
  return Object.values(fields).some(losesKeys);
}

export function fromChatMessages({ messages }: ChatMessages): ChatMessage[] {
  return messages.map(({ role, content }) => ({ role, content }));
}

/** Revisions count changes, so they stay far below 2^53. */
export function fromRevision(revision: bigint | undefined): { expectedRevision?: number } {
  return revision === undefined ? {} : { expectedRevision: Number(revision) };
}

// Answers

export function toValue(value: JsonValue): Value {
  return fromJson(ValueSchema, value);
}

export const WIRE_TIERS: Record<Tier, Resolution_Tier> = {
  memory: Resolution_Tier.MEMORY,
  redis: Resolution_Tier.REDIS,
  source: Resolution_Tier.SOURCE,
  fallback: Resolution_Tier.FALLBACK,
};

export const WIRE_REASONS: Record<Reason, Resolution_Reason> = {
  version: Resolution_Reason.VERSION,
  label: Resolution_Reason.LABEL,
  split: Resolution_Reason.SPLIT,
  override: Resolution_Reason.OVERRIDE,
  fallback: Resolution_Reason.FALLBACK,
};

/** Without id, tier, bucket, staleness and age: those differ per call. */
export function toResolution(choice: Choice): Resolution {
  const { answer, asked, reason, rollout } = choice;
  const { version, components } = answer;
  return create(ResolutionSchema, {
    name: version.name,
    version: version.version,
    ...("label" in asked && { label: asked.label }),
    reason: WIRE_REASONS[reason],
    contentHash: version.contentHash,
    components: [...components],
    sourceVersion: version.sourceVersion ?? "",
    ...(rollout && {
      arm: rollout.arm,
      rolloutRevision: BigInt(rollout.revision),
      unresolvedArm: rollout.unresolvedArm ?? "",
    }),
    traceAttributes: traceAttributes(choice),
  });
}

export function toPrompt({ version }: Answer): Prompt {
  return create(PromptSchema, {
    name: version.name,
    version: version.version,
    ...toBodyFields(version.body),
    labels: [...version.labels].sort(),
    tags: [...version.tags],
    commitMessage: version.commitMessage,
    author: version.author,
    createTime: toTimestamp(version.createdAt),
    revision: BigInt(version.revision),
  });
}

/** The fields that hold a body, in Prompt as in CreateVersionRequest. */
export function toBodyFields(body: PromptBody) {
  const template =
    body.type === "text"
      ? ({ case: "text", value: body.template } as const)
      : ({ case: "chat", value: toChatTemplate(body.template) } as const);
  return { template, format: WIRE_FORMATS[body.format], config: toValue(body.config) };
}

function toChatTemplate(items: readonly ChatItem[]): ChatTemplate {
  return create(ChatTemplateSchema, {
    items: items.map((item) =>
      item.type === "placeholder"
        ? { item: { case: "placeholder" as const, value: { name: item.name } } }
        : { item: { case: "message" as const, value: { role: item.role, content: item.content } } },
    ),
  });
}

/** @param counted absent where it was never the answer */
export function toVersionInfo(version: VersionInfo, counted?: VersionCalls): VersionInfoMessage {
  return create(VersionInfoSchema, {
    version: version.version,
    labels: [...version.labels],
    commitMessage: version.commitMessage,
    author: version.author,
    createTime: toTimestamp(version.createdAt),
    contentHash: version.contentHash,
    format: WIRE_FORMATS[version.format],
    sourceVersion: version.sourceVersion ?? "",
    ...(counted && {
      calls: BigInt(counted.calls),
      callsBy: counted.by.map(({ label, arm, calls }) => ({ label, arm, calls: BigInt(calls) })),
    }),
  });
}

export function toPromptInfo(info: PromptInfo): PromptInfoMessage {
  return create(PromptInfoSchema, {
    name: info.name,
    type: toPromptType(info.type),
    tags: [...info.tags],
    labels: [...info.labels],
    latestVersion: info.latestVersion,
    versionCount: info.versionCount,
    updateTime: toTimestamp(info.updatedAt),
    revision: BigInt(info.revision),
  });
}

export function toPromptType(type: DomainPromptType): PromptType {
  return type === "text" ? PromptType.TEXT : PromptType.CHAT;
}

const WIRE_FORMATS: Record<TemplateFormat, TemplateFormatMessage> = {
  mustache: TemplateFormatMessage.MUSTACHE,
  fstring: TemplateFormatMessage.FSTRING,
  jinja: TemplateFormatMessage.JINJA,
};

function toTimestamp(date: Date): Timestamp {
  return timestampFromDate(date);
}
