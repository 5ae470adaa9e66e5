/** What the spans of answers and of reported calls say. */

import { hash } from "node:crypto";
import { type Attributes, SpanKind } from "@opentelemetry/api";
import { FALLBACK_VERSION } from "../core/prompt.ts";
import { linkAttributes } from "../core/trace-attributes.ts";
import type { GenerationItem, Item, ResolutionItem } from "./item.ts";

/** How users are told apart: by a hash of their id, or by the id itself. */
export type UserIds = "hashed" | "plain";

export interface SpanContent {
  name: string;
  kind: SpanKind;
  attributes: Attributes;
  events: { name: string; attributes: Attributes }[];
  /** Why it failed. */
  error?: string;
}

/** What a user is called outside: undefined for nobody in particular. */
export function userOf({ userId }: Pick<Item, "userId">, userIds: UserIds): string | undefined {
  if (userId === "") return undefined;
  return userIds === "plain" ? userId : hash("sha256", userId);
}

export function spanContent(item: Item, userIds: UserIds): SpanContent {
  const user = userOf(item, userIds);
  const { what, project } = item;
  const shared = {
    "promptd.project": project,
    ...(user !== undefined && { [userIds === "plain" ? "user.id" : "user.hash"]: user }),
  };
  return what.kind === "resolution"
    ? resolutionContent(what, project, user, shared)
    : generationContent(what, shared);
}

function resolutionContent(
  what: ResolutionItem,
  project: string,
  user: string | undefined,
  shared: Attributes,
): SpanContent {
  const { id, method, name, version, label, reason, rollout, bucket, tier, stale } = what;
  const attributes: Attributes = {
    ...shared,
    "rpc.method": `promptd.v1.PromptService/${method}`,
    // Nothing was generated, so it links to no prompt version in Langfuse.
    "langfuse.observation.type": "span",
    "gen_ai.prompt.name": name,
    "promptd.resolution.id": id,
    "promptd.reason": reason,
    "promptd.tier": tier,
    "promptd.stale": stale,
  };
  if (version !== FALLBACK_VERSION) attributes["gen_ai.prompt.version"] = String(version);
  if (label !== undefined) attributes["promptd.label"] = label;
  if (bucket !== undefined) attributes["promptd.bucket"] = bucket;
  const events: SpanContent["events"] = [];
  if (rollout !== undefined) {
    attributes["promptd.arm"] = rollout.arm;
    attributes["promptd.rollout.revision"] = String(rollout.revision);
    if (rollout.unresolvedArm !== undefined) {
      attributes["promptd.unresolved_arm"] = rollout.unresolvedArm;
    }
    if (reason === "split" || reason === "override") {
      const evaluation: Attributes = {
        "feature_flag.key": `${name}@${label}`,
        "feature_flag.provider.name": "promptd",
        "feature_flag.result.variant": rollout.arm,
        // As the conventions call them.
        "feature_flag.result.reason": reason === "split" ? "split" : "targeting_match",
        "feature_flag.set.id": project,
        "feature_flag.version": String(rollout.revision),
      };
      if (user !== undefined) evaluation["feature_flag.context.id"] = user;
      events.push({ name: "feature_flag.evaluation", attributes: evaluation });
    }
  }
  return { name: "promptd resolve", kind: SpanKind.SERVER, attributes, events };
}

function generationContent(what: GenerationItem, shared: Attributes): SpanContent {
  const { resolution, model, usage, cost, error, scores, input, output } = what;
  const attributes: Attributes = {
    ...shared,
    ...linkAttributes(resolution),
    "langfuse.observation.type": "generation",
    "langfuse.observation.model.name": model,
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": model,
    "gen_ai.response.model": model,
    "promptd.resolution.id": resolution.id,
  };
  const set = (name: string, value: string | number | undefined) => {
    if (value !== undefined) attributes[name] = value;
  };
  set("gen_ai.usage.input_tokens", usage.input);
  set("gen_ai.usage.output_tokens", usage.output);
  set("gen_ai.usage.cache_read.input_tokens", usage.cachedInput);
  set("langfuse.observation.usage_details", asJson(usageDetails(usage)));
  set("langfuse.observation.cost_details", asJson(costDetails(cost)));
  set("langfuse.observation.input", input);
  set("langfuse.observation.output", output);
  if (error !== undefined) {
    set("error.type", "_OTHER");
    set("langfuse.observation.level", "ERROR");
    set("langfuse.observation.status_message", error);
  }
  const events = scores.map(({ name, value, comment }) => ({
    name: "gen_ai.evaluation.result",
    attributes: {
      "gen_ai.evaluation.name": name,
      "gen_ai.evaluation.score.value": value,
      ...(comment !== undefined && { "gen_ai.evaluation.explanation": comment }),
    },
  }));
  const content = { name: `chat ${model}`, kind: SpanKind.CLIENT, attributes, events };
  return error === undefined ? content : { ...content, error };
}

/** Tokens by kind as Langfuse adds them up: each counts once. Undefined where none were told. */
export function usageDetails({
  input,
  output,
  cachedInput,
}: GenerationItem["usage"]): Record<string, number> | undefined {
  if (input === undefined && output === undefined && cachedInput === undefined) return undefined;
  return {
    ...(input !== undefined && { input: Math.max(0, input - (cachedInput ?? 0)) }),
    ...(cachedInput !== undefined && { input_cached_tokens: cachedInput }),
    ...(output !== undefined && { output }),
  };
}

/** In US dollars. */
export function costDetails(cost: number | undefined): Record<string, number> | undefined {
  return cost === undefined ? undefined : { total: cost };
}

function asJson(value: object | undefined): string | undefined {
  return value && JSON.stringify(value);
}
