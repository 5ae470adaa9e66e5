/** promptd's client: which prompt does this user get now, answered from memory. */

export type { ClientTlsFiles } from "../../../src/client/tls.ts";
export { type ErrorCode, PromptdError } from "../../../src/core/errors.ts";
export type { ChatItem, ChatMessage, JsonValue, PromptBody } from "../../../src/core/prompt.ts";
export { createPromptdClient, type PromptdClient } from "./client.ts";
export type { Fallback } from "./fallbacks.ts";
export type { Asked, ClientOptions, CompiledPrompt, GetOptions } from "./options.ts";
export type { CompileOptions, Prompt, Resolution } from "./prompt.ts";
