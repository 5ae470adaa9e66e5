/** Prompts as they stand in an application's code. */

import { compositionTags } from "../../core/composition.ts";
import { canonicalBody, contentHash } from "../../core/content-hash.ts";
import { PromptdError, Violations } from "../../core/errors.ts";
import { requireValidVersion } from "../../core/new-version.ts";
import type { ChatItem, ChatMessage, JsonValue, PromptBody } from "../../core/prompt.ts";
import { type ParsedBody, parseBody } from "../../core/template/template.ts";

/** A text in mustache, or what there is beside a template. */
export type CodePrompt = string | CodeText | CodeChat;

interface Beside {
  /** Default: mustache. */
  format?: "mustache" | "fstring";
  config?: JsonValue;
  /** Put on the prompt with each new version. */
  tags?: readonly string[];
}

interface CodeText extends Beside {
  type?: "text";
  template: string;
}

interface CodeChat extends Beside {
  type: "chat";
  template: readonly (ChatMessage | { type: "placeholder"; name: string })[];
}

/** A prompt of the code that can be registered. */
export interface Declared {
  name: string;
  body: PromptBody;
  parsed: ParsedBody;
  contentHash: string;
  tags?: readonly string[];
}

/** @throws invalid naming the prompts and what is wrong with them */
export function declare(prompts: Readonly<Record<string, CodePrompt>>): Declared[] {
  const violations = new Violations();
  const declared = Object.entries(prompts).flatMap(([name, prompt]) => {
    try {
      return declareOne(name, prompt);
    } catch (thrown) {
      if (!(thrown instanceof PromptdError)) throw thrown;
      for (const { field, description } of thrown.violations) {
        violations.add(`${name}: ${field}`, description);
      }
      return [];
    }
  });
  violations.throwIfAny();
  return declared;
}

function declareOne(name: string, prompt: CodePrompt): Declared {
  const given = typeof prompt === "string" ? { template: prompt } : { ...prompt };
  const { tags } = given;
  const asked = toBody(given);
  requireValidVersion({ name, body: asked, labels: [], commitMessage: "", ...(tags && { tags }) });
  if (compositionTags(asked).length > 0) {
    const description =
      "includes other prompts, which a service alone can put in: put the text together in the code";
    throw PromptdError.invalid({ field: "template", description });
  }
  // A copy: what the application makes of its objects later was not registered.
  const canonical = canonicalBody(asked);
  const body = JSON.parse(canonical) as PromptBody;
  const contents = { body, parsed: parseBody(body), contentHash: contentHash(canonical) };
  return { name, ...contents, ...(tags && { tags: [...tags] }) };
}

/** Programs without types are told too what was expected. */
function toBody(prompt: CodeText | CodeChat): PromptBody {
  const { format = "mustache", tags } = prompt;
  // Null is no config where prompts live in a Langfuse.
  const config = prompt.config ?? {};
  const violations = new Violations();
  if (tags !== undefined && !Array.isArray(tags)) violations.add("tags", "expected a list");
  if (format !== "mustache" && format !== "fstring") {
    violations.add("format", "expected mustache or fstring");
  }
  if (prompt.type !== "chat") {
    if (typeof prompt.template !== "string") {
      violations.add("template", 'expected a text; of a chat (type: "chat"), a list of messages');
    }
    violations.throwIfAny();
    return { type: "text", format, template: prompt.template, config };
  }
  if (!Array.isArray(prompt.template)) violations.add("template", "expected a list of messages");
  violations.throwIfAny();
  const template = prompt.template.map((item, index): ChatItem => {
    const { name, role, content } = { ...(item as Partial<ChatMessage & { name: string }>) };
    if (name !== undefined) return { type: "placeholder", name };
    if (typeof role !== "string" || typeof content !== "string") {
      const description = "expected role and content, or a placeholder with its name";
      throw PromptdError.invalid({ field: `template[${index}]`, description });
    }
    return { type: "chatmessage", role, content };
  });
  return { type: "chat", format, template, config };
}
