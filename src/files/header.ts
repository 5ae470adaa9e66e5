/** What a prompt file may say beside its template: the keys that `.prompt` and `.json` share. */

import { z } from "zod";
import { PromptdError } from "../core/errors.ts";
import type {
  ChatItem,
  JsonValue,
  PromptBody,
  PromptType,
  TemplateFormat,
} from "../core/prompt.ts";
import { Validator } from "../core/validate.ts";

/** The keys that stand beside a template, and `type`. Absent: the file does not say. */
export interface Header {
  type?: PromptType;
  format: TemplateFormat;
  config: JsonValue;
  labels?: string[];
  tags?: string[];
  commitMessage?: string;
}

/** What a prompt file holds. */
export interface FileContent {
  body: PromptBody;
  /** Labels to put on the version; absent where the file names none, empty where it wants none. */
  labels?: string[];
  tags?: string[];
  commitMessage?: string;
}

/** A text that UTF-8 can hold: escapes in YAML and JSON can make others. */
export const unicodeText = (error = "expected a text") =>
  z.string({ error }).refine((text) => text.isWellFormed(), "must not hold a broken surrogate");

const KEYS = z.strictObject({
  type: z.enum(["text", "chat"], { error: "expected text or chat" }).optional(),
  format: z.enum(["mustache", "fstring"], { error: "expected mustache or fstring" }).optional(),
  config: z.unknown().optional(),
  labels: z.array(unicodeText(), { error: "expected a list of labels" }).optional(),
  tags: z.array(unicodeText(), { error: "expected a list of tags" }).optional(),
  commit_message: unicodeText().optional(),
});

/** Keys of Dotprompt that promptd gives no meaning to. */
const DOTPROMPT_KEYS = new Set(["model", "input", "output", "tools", "variant", "version"]);

/**
 * Reads the keys of front matter or of a JSON object.
 *
 * @param where what an error about a key begins with, such as `line 3: `
 * @throws invalid naming a key that is unknown or has an unexpected value
 */
export function readHeader(
  fields: Record<string, unknown>,
  where: (key: string) => string,
): Header {
  const parsed = KEYS.safeParse(fields);
  if (!parsed.success) throw keyError(parsed.error.issues, where);
  const { config = {}, format = "mustache", type, labels, tags, commit_message } = parsed.data;
  return {
    format,
    config: jsonConfig(config, where("config")),
    ...(type && { type }),
    ...(labels && { labels }),
    ...(tags && { tags }),
    ...(commit_message !== undefined && { commitMessage: commit_message }),
  };
}

/** Joins a header with the template that stands under it. */
export function fileContent(header: Header, template: string | ChatItem[]): FileContent {
  const { type: _, format, config, ...rest } = header;
  const body: PromptBody =
    typeof template === "string"
      ? { type: "text", format, template, config }
      : { type: "chat", format, template, config };
  return { body, ...rest };
}

/** What a file says beside the template, in the order in which people read it; defaults are left out. */
export function headerKeys(content: FileContent): Record<string, unknown> {
  const { body, labels, tags, commitMessage } = content;
  return {
    type: body.type,
    ...(body.format !== "mustache" && { format: body.format }),
    ...(!isEmptyObject(body.config) && { config: body.config }),
    ...(labels && { labels }),
    ...(tags && { tags }),
    ...(commitMessage !== undefined && { commit_message: commitMessage }),
  };
}

function jsonConfig(config: unknown, where: string): JsonValue {
  const validator = new Validator();
  validator.json(config as JsonValue, `${where}config`);
  validator.done();
  return config as JsonValue;
}

function keyError(
  issues: readonly z.core.$ZodIssue[],
  where: (key: string) => string,
): PromptdError {
  const [issue] = issues;
  if (issue?.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const hint = DOTPROMPT_KEYS.has(key) ? "put it under config" : `expected one of ${known()}`;
    return new PromptdError("invalid", `${where(key)}unknown key ${JSON.stringify(key)}: ${hint}`);
  }
  const [key, ...rest] = issue?.path ?? [];
  const item = rest.map((part) => `[${String(part)}]`).join("");
  return new PromptdError(
    "invalid",
    `${where(String(key))}${String(key)}${item}: ${issue?.message}`,
  );
}

function known(): string {
  return Object.keys(KEYS.shape).join(", ");
}

function isEmptyObject(value: JsonValue): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.keys(value).length === 0
  );
}
