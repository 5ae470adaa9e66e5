/** `.json`: a list of messages, or an object with a template and what stands beside it. */

import { z } from "zod";
import { PromptdError } from "../core/errors.ts";
import type { ChatItem } from "../core/prompt.ts";
import {
  changedKeys,
  type FileContent,
  fileContent,
  headerKeys,
  readHeader,
  unicodeText,
} from "./header.ts";
import { parseJson, withoutByteOrderMark } from "./text.ts";

/** The kind of a message may be left out, as in messages for a model. */
const ITEMS = z.array(
  z.discriminatedUnion("type", [
    z.strictObject({
      type: z.literal("chatmessage").optional(),
      role: unicodeText(),
      content: unicodeText(),
    }),
    z.strictObject({ type: z.literal("placeholder"), name: unicodeText() }),
  ]),
  { error: "expected a text, or a list of messages" },
);

/** @throws invalid with the place in the document */
export function readJson(text: string): FileContent {
  const { template, ...fields } = objectOf(parseJson(text));
  const header = readHeader(fields, () => "");
  const content = fileContent(header, readTemplate(template));
  if (header.type !== undefined && header.type !== content.body.type) {
    const expected = header.type === "text" ? "a text" : "a list of messages";
    throw new PromptdError("invalid", `template: expected ${expected} beside type ${header.type}`);
  }
  return content;
}

export function writeJson(content: FileContent): string {
  const { type, ...rest } = headerKeys(content);
  return `${JSON.stringify({ type, template: content.body.template, ...rest }, null, 2)}\n`;
}

/**
 * The document with another content, in its indentation. Keys stay in their order, and
 * messages without a type stay so.
 */
export function rewriteJson(text: string, content: FileContent): string {
  const value = parseJson(text);
  const old = objectOf(value);
  const { template: oldTemplate } = old;
  const changed = changedKeys(readJson(text), content);
  const template = spelledAs(oldTemplate, content.body.template);
  const isList = Array.isArray(value) && changed.size === 0;
  const now = { ...old, template, ...Object.fromEntries(changed) };
  const ending = text.slice(text.trimEnd().length);
  const written = JSON.stringify(isList ? template : now, null, indentationOf(text));
  const lines = text.includes("\r\n") ? written.replaceAll("\n", "\r\n") : written;
  return text.slice(0, text.length - withoutByteOrderMark(text).length) + lines + ending;
}

/** Messages as they are written in the list that stands there now. */
function spelledAs(old: unknown, template: string | ChatItem[]): unknown {
  if (typeof template === "string" || !Array.isArray(old)) return template;
  const hasTypes = old.length === 0 || old.some(({ type }) => type === "chatmessage");
  if (hasTypes) return template;
  return template.map((item) =>
    item.type === "placeholder" ? item : { role: item.role, content: item.content },
  );
}

/** Of the first line that has any; none for a document of one line. */
function indentationOf(text: string): string {
  return /\n([ \t]+)\S/.exec(text)?.[1] ?? "";
}

/** A bare list of messages is a chat with nothing beside it. */
function objectOf(value: unknown): Record<string, unknown> {
  if (Array.isArray(value)) return { template: value };
  if (typeof value === "object" && value !== null && "template" in value) return { ...value };
  throw new PromptdError(
    "invalid",
    "expected a list of messages, or an object with a key template (a text, or a list of messages)",
  );
}

function readTemplate(template: unknown): string | ChatItem[] {
  if (typeof template === "string") return checked(unicodeText(), template);
  return checked(ITEMS, template).map((item) =>
    item.type === "placeholder" ? item : { ...item, type: "chatmessage" },
  );
}

/** @throws invalid with the place in the template */
function checked<Schema extends z.ZodType>(schema: Schema, template: unknown): z.output<Schema> {
  const parsed = schema.safeParse(template);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = (issue?.path ?? []).map((part) =>
    typeof part === "number" ? `[${part}]` : `.${String(part)}`,
  );
  const expected =
    issue?.code === "invalid_union"
      ? "expected placeholder, or no type for a message"
      : issue?.message;
  throw new PromptdError("invalid", `template${place.join("")}: ${expected}`);
}
