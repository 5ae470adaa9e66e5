/** What a prompt file may say beside its template: the keys that `.prompt` and `.json` share. */

import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import type {
  ChatItem,
  JsonValue,
  PromptBody,
  PromptType,
  TemplateFormat,
} from "../core/prompt.ts";
import { Validator } from "../core/validate.ts";
import { readKeys, strictKeys } from "./keys.ts";
import type { Where } from "./yaml.ts";

/** The keys that stand beside a template, and `type`. Absent: the file does not say. */
export interface Header {
  type?: PromptType;
  format: TemplateFormat;
  config: JsonValue;
  variables?: string[];
  labels?: string[];
  tags?: string[];
  commitMessage?: string;
  tests?: JsonValue[];
}

/** What a prompt file holds. */
export interface FileContent {
  body: PromptBody;
  /** Those that the template is meant to use; absent where the file declares none. No version holds them. */
  variables?: string[];
  /** Labels to put on the version; absent where the file names none, empty where it wants none. */
  labels?: string[];
  tags?: string[];
  commitMessage?: string;
  /** Test cases: any JSON, kept and not interpreted. */
  tests?: JsonValue[];
}

/** A text that UTF-8 can hold: escapes in YAML and JSON can make others. */
export const unicodeText = (error = "expected a text") =>
  z.string({ error }).refine((text) => text.isWellFormed(), "must not hold a broken surrogate");

/** Keys of Dotprompt that promptd gives no meaning to. */
const DOTPROMPT_KEYS = new Set(["model", "input", "output", "tools", "variant", "version"]);

const HEADER = strictKeys(
  {
    type: z.enum(["text", "chat"], { error: "expected text or chat" }).optional(),
    format: z.enum(["mustache", "fstring"], { error: "expected mustache or fstring" }).optional(),
    config: z.unknown().optional(),
    variables: z.array(unicodeText(), { error: "expected a list of variables" }).optional(),
    labels: z.array(unicodeText(), { error: "expected a list of labels" }).optional(),
    tags: z.array(unicodeText(), { error: "expected a list of tags" }).optional(),
    commit_message: unicodeText().optional(),
    tests: z.array(z.unknown(), { error: "expected a list of tests" }).optional(),
  },
  (key) => (DOTPROMPT_KEYS.has(key) ? "put it under config" : undefined),
);

/**
 * Reads the keys of front matter or of a JSON object.
 *
 * @throws invalid naming a key that is unknown or has an unexpected value
 */
export function readHeader(fields: Record<string, unknown>, where: Where): Header {
  const {
    config = {},
    format = "mustache",
    type,
    variables,
    labels,
    tags,
    commit_message,
    tests,
  } = readKeys(HEADER, fields, where);
  return {
    format,
    config: jsonValue(config, `${where("config")}config`),
    ...(type && { type }),
    ...(variables && { variables }),
    ...(labels && { labels }),
    ...(tags && { tags }),
    ...(commit_message !== undefined && { commitMessage: commit_message }),
    ...(tests && { tests: jsonValue(tests, `${where("tests")}tests`) as JsonValue[] }),
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
export function headerKeys(content: FileContent): Record<string, JsonValue> {
  const { body, variables, labels, tags, commitMessage, tests } = content;
  return {
    type: body.type,
    ...(body.format !== "mustache" && { format: body.format }),
    ...(!isEmptyObject(body.config) && { config: body.config }),
    ...(variables && { variables }),
    ...(labels && { labels }),
    ...(tags && { tags }),
    ...(commitMessage !== undefined && { commit_message: commitMessage }),
    ...(tests && { tests }),
  };
}

/** The keys that differ between two contents, with their new values; undefined where the file need not say it any more. */
export function changedKeys(
  from: FileContent,
  to: FileContent,
): Map<string, JsonValue | undefined> {
  const [old, now] = [headerKeys(from), headerKeys(to)];
  const keys = Object.keys({ ...old, ...now });
  return new Map(
    keys.filter((key) => !isDeepStrictEqual(old[key], now[key])).map((key) => [key, now[key]]),
  );
}

function jsonValue(value: unknown, field: string): JsonValue {
  const validator = new Validator();
  validator.json(value as JsonValue, field);
  validator.done();
  return value as JsonValue;
}

function isEmptyObject(value: JsonValue): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.keys(value).length === 0
  );
}
