/** Whether a matcher holds of a text or a chat. */

import { isDeepStrictEqual } from "node:util";
import { type JSONValue, query } from "json-p3";
import type { ChatMessage, JsonValue } from "../core/prompt.ts";
import type { Compiled } from "../core/template/compile.ts";
import { bounded } from "../files/bounded.ts";
import { type Matcher, PATTERN_FLAGS } from "../files/test-case.ts";
import { parseJson } from "../files/text.ts";

/** Between the contents of a chat, where no message is chosen. */
const BETWEEN = "\n\n";

/** What was expected and found; undefined where the matcher holds. */
export function mismatch(matcher: Matcher, found: Compiled): string | undefined {
  try {
    return "json_path" in matcher
      ? ofJson(matcher, found)
      : ofText(matcher, textOf(matcher, found));
  } catch (thrown) {
    const question = Object.keys(matcher).find((key) => key !== "message");
    return `${question}: ${(thrown as Error).message}`;
  }
}

function ofText(matcher: Matcher, text: string): string | undefined {
  const { contains, not_contains, matches, not_matches, length } = matcher;
  const expected = (holds: boolean, what: string) =>
    holds ? undefined : `expected ${what}, found ${shown(text)}`;
  if (contains !== undefined) {
    return expected(text.includes(contains), `${shown(contains)} in the text`);
  }
  if (not_contains !== undefined) {
    return expected(!text.includes(not_contains), `no ${shown(not_contains)} in the text`);
  }
  if (matches !== undefined) {
    return expected(matchesPattern(matches, text), `a match of /${matches}/`);
  }
  if (not_matches !== undefined) {
    return expected(!matchesPattern(not_matches, text), `no match of /${not_matches}/`);
  }
  const { min = 0, max = Number.POSITIVE_INFINITY } = length ?? {};
  const characters = [...text].length;
  if (characters >= min && characters <= max) return undefined;
  const bounds = [
    ...(length?.min === undefined ? [] : [`at least ${min}`]),
    ...(length?.max === undefined ? [] : [`at most ${max}`]),
  ];
  return `expected ${bounds.join(" and ")} characters, found ${characters}`;
}

function matchesPattern(source: string, text: string): boolean {
  const pattern = new RegExp(source, PATTERN_FLAGS);
  return bounded(() => pattern.test(text));
}

function ofJson(matcher: Matcher, found: Compiled): string | undefined {
  const { json_path: path = "", exists, message } = matcher;
  const document = found.type === "chat" && message === undefined ? found.messages : undefined;
  const value = document ?? parseJson(textOf(matcher, found));
  const values = bounded(() => query(path, value as JSONValue).values()) as JsonValue[];
  if (exists !== undefined) {
    if (values.length > 0 === exists) return undefined;
    return exists
      ? `expected something at ${path}, found nothing`
      : `expected nothing at ${path}, found ${shown(values[0])}`;
  }
  if (values.length === 1 && isDeepStrictEqual(values[0], matcher.equals)) return undefined;
  const there = values.length === 1 ? shown(values[0]) : `${values.length || "no"} values`;
  return `expected ${shown(matcher.equals)} at ${path}, found ${there}`;
}

/** @throws where it has no such message */
function textOf({ message }: Matcher, found: Compiled): string {
  if (message === undefined) {
    return found.type === "text" ? found.text : contentsOf(found.messages).join(BETWEEN);
  }
  if (found.type === "text")
    throw new Error(`expected a chat for message ${message}, found a text`);
  const content = contentsOf(found.messages).at(message);
  if (content !== undefined) return content;
  throw new Error(`expected a message ${message}, found ${found.messages.length} messages`);
}

function contentsOf(messages: readonly ChatMessage[]): string[] {
  return messages.map(({ content }) => content);
}

/** In a length that people read. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  const characters = [...text];
  return characters.length <= 120 ? text : `${characters.slice(0, 120).join("")}…`;
}
