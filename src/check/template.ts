/** Whether templates parse, and hold nothing that promptd would leave as text. */

import { PromptdError } from "../core/errors.ts";
import type { PromptBody, TemplateFormat } from "../core/prompt.ts";
import { parseFstring } from "../core/template/fstring.ts";
import { parseMustache } from "../core/template/mustache.ts";
import type { Segment } from "../core/template/segment.ts";
import type { Place, Places } from "../files/places.ts";
import type { Found } from "./fault.ts";
import { type CheckedPrompt, textsOf } from "./prompt.ts";
import { shown } from "./secrets.ts";

/** @returns the faults, and the variables of what parses */
export function checkTemplate(
  body: PromptBody,
  places: Places,
): { found: Found[]; variables: CheckedPrompt["variables"] } {
  const found: Found[] = [];
  const variables = new Map<string, Place>();
  for (const { index, text } of textsOf(body)) {
    const parsed = parse(body.format, text);
    if ("problem" in parsed) {
      const { offset, problem } = parsed;
      found.push({ rule: "syntax", ...places.inItem(index, offset), message: problem });
      continue;
    }
    let offset = 0;
    for (const segment of parsed.segments) {
      if (segment.kind === "variable" && !variables.has(segment.name)) {
        variables.set(segment.name, places.inItem(index, offset));
      }
      for (const { at, ...fault } of faultsOf(body.format, segment)) {
        found.push({ ...fault, ...places.inItem(index, offset + at) });
      }
      offset += segment.raw.length;
    }
  }
  return { found, variables };
}

/** In a text its offset tells where; an error of the core's tells line and column in words. */
function parse(
  format: TemplateFormat,
  text: string,
): { segments: Segment[] } | { offset: number; problem: string } {
  try {
    return { segments: format === "fstring" ? parseFstring(text, "") : parseMustache(text) };
  } catch (thrown) {
    if (!(thrown instanceof PromptdError)) throw thrown;
    const description = thrown.violations[0]?.description ?? thrown.message;
    const [position = "", line, column] = /^line (\d+), column (\d+): /.exec(description) ?? [];
    return {
      offset: offsetOf(text, Number(line ?? 1), Number(column ?? 1)),
      problem: description.slice(position.length),
    };
  }
}

function offsetOf(text: string, line: number, column: number): number {
  let start = 0;
  for (let at = 1; at < line; at++) start = text.indexOf("\n", start) + 1;
  return start + [...text.slice(start)].slice(0, column - 1).join("").length;
}

/** What may have been meant for a tag, up to its end or that of the line. */
const OPENED = /\{\{(?!\{)[^{}\n]*\}{0,2}/g;
/** A tag that lacks a brace or two behind its name. */
const HALF_CLOSED = /^\{\{[#^/>&]?[ \t]*[\p{L}_][\p{L}\p{M}\p{Nd}_.-]*[ \t]*\r?\}?$/u;
/** As a tag begins; other braces are likely JSON or code. */
const NAMED = /^\{\{[#^/>&]?[ \t]*[\p{L}_]/u;

function* faultsOf(
  format: TemplateFormat,
  segment: Segment,
): Generator<{ rule: Found["rule"]; at: number; message: string }> {
  if (segment.kind === "section") {
    const message = `${shown(segment.raw)}: expected a variable; promptd does not run sections and partials, and a strict Compile refuses them`;
    yield { rule: "section", at: 0, message };
  }
  if (format !== "mustache" || segment.kind !== "text") return;
  for (const { 0: raw, index } of segment.raw.matchAll(OPENED)) {
    if (HALF_CLOSED.test(raw)) {
      const message = `${shown(raw.trimEnd())}: expected }} behind the name; this stays as text`;
      yield { rule: "syntax", at: index, message };
    } else if (raw.endsWith("}}") || NAMED.test(raw)) {
      const message = `${shown(raw.trimEnd())}: expected a variable such as {{name}}; this stays as text`;
      yield { rule: "unknown-tag", at: index, message };
    }
  }
}
