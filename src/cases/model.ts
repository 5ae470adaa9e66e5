/** Asks a model at an OpenAI-compatible endpoint. Loaded where that is asked for. */

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, RetryError } from "ai";
import { PromptdError } from "../core/errors.ts";
import type { JsonValue } from "../core/prompt.ts";
import type { Compiled } from "../core/template/compile.ts";
import type { Prices } from "../files/project.ts";
import { boundedFetch } from "./bounded-fetch.ts";
import type { Answer } from "./report.ts";
import type { Ask } from "./run.ts";

export interface ModelAccess {
  /** With the path before `/chat/completions`. */
  baseUrl: string;
  /** Absent: the endpoint takes everybody. */
  apiKey?: string;
  /** Absent: the one that a prompt's config names. */
  model?: string;
  prices: Prices;
  /** Milliseconds that one call may take. */
  timeout: number;
}

/** After the first try, of what is worth it: 408, 409, 429, 5xx, and no connection. */
const MAX_RETRIES = 2;

/** What a config may say to a model, in the words of the API. Other keys are for who serves the prompt. */
const SETTINGS = [
  "temperature",
  "top_p",
  "max_tokens",
  "max_completion_tokens",
  "stop",
  "seed",
  "frequency_penalty",
  "presence_penalty",
  "response_format",
  "reasoning_effort",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
];

export function modelAt(access: ModelAccess): Ask {
  const { baseUrl, apiKey, prices, timeout } = access;
  /** An endpoint may repeat the key that it does not like. */
  const withoutKey = (text: string) => (apiKey ? text.replaceAll(apiKey, "[key]") : text);
  return async (compiled, config) => {
    const model = access.model ?? modelOf(config);
    const body = { ...settingsOf(config), messages: messagesOf(compiled) };
    const provider = createOpenAICompatible({
      name: "endpoint",
      baseURL: baseUrl,
      ...(apiKey && { apiKey }),
      fetch: boundedFetch(timeout),
      // The library's own conversion knows three roles, and leaves empty texts out.
      transformRequestBody: (made) => ({ ...made, ...body }),
    });
    const start = performance.now();
    try {
      const { text, toolCalls, usage } = await generateText({
        model: provider(model),
        prompt: "in the body",
        maxRetries: MAX_RETRIES,
      });
      const duration = Math.round(performance.now() - start);
      return {
        ...answerOf(model, usage, prices),
        text: withoutKey(text || callsText(toolCalls)),
        duration,
      };
    } catch (thrown) {
      throw new PromptdError("unavailable", whyNone(thrown, withoutKey));
    }
  };
}

/** @throws invalid where the config names none */
function modelOf(config: JsonValue): string {
  const model = isObject(config) ? config.model : undefined;
  if (typeof model === "string" && model !== "") return model;
  throw new PromptdError(
    "invalid",
    "no model: expected --model, test.model in promptd.yaml, or model in the prompt's config",
  );
}

function settingsOf(config: JsonValue): Record<string, JsonValue> {
  const settings = isObject(config) ? Object.entries(config) : [];
  return Object.fromEntries(settings.filter(([key]) => SETTINGS.includes(key)));
}

/** A text is what a user says. */
function messagesOf(compiled: Compiled) {
  return compiled.type === "chat" ? compiled.messages : [{ role: "user", content: compiled.text }];
}

/** What a model that says nothing asks for, so that matchers can look at it. */
function callsText(calls: readonly { toolName: string; input: unknown }[]): string {
  if (calls.length === 0) return "";
  return JSON.stringify(calls.map(({ toolName, input }) => ({ name: toolName, arguments: input })));
}

function answerOf(
  model: string,
  usage: { inputTokens: number | undefined; outputTokens: number | undefined },
  prices: Prices,
): Omit<Answer, "text" | "duration"> {
  const { inputTokens, outputTokens } = usage;
  const price = Object.hasOwn(prices, model) ? prices[model] : undefined;
  if (inputTokens === undefined || outputTokens === undefined) return { model };
  if (price === undefined) return { model, inputTokens, outputTokens };
  const cost = (inputTokens * price.input + outputTokens * price.output) / 1_000_000;
  return { model, inputTokens, outputTokens, cost };
}

/** In a length that people read, cut when there is no key in it any more. */
function whyNone(thrown: unknown, withoutKey: (text: string) => string): string {
  const error = RetryError.isInstance(thrown) ? thrown.lastError : thrown;
  const tries = RetryError.isInstance(thrown) ? ` (tried ${thrown.errors.length} times)` : "";
  const message = error instanceof Error ? error.message : String(error);
  const why = withoutKey(message).slice(0, 300);
  const status = APICallError.isInstance(error) ? error.statusCode : undefined;
  if (status === undefined) return `no answer: ${why}${tries}`;
  return `no answer: the endpoint said ${status}: ${why}${tries}`;
}

function isObject(value: JsonValue): value is Record<string, JsonValue> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
