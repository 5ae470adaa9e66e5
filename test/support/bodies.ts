import type { PromptBody } from "../../src/core/prompt.ts";

/** A chat in mustache, without config. */
export const chat = (
  ...template: Extract<PromptBody, { type: "chat" }>["template"]
): PromptBody => ({ type: "chat", format: "mustache", template, config: {} });

export const message = (role: string, content: string) =>
  ({ type: "chatmessage", role, content }) as const;
