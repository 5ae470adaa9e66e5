import { endOfDottedName } from "./names.ts";
import type { Segment } from "./segment.ts";

/**
 * Parses `{{name}}`, `{{{name}}}` and `{{&name}}`, which mean the same: a prompt
 * is not HTML, and nothing is escaped. Every text parses; a tag that is neither
 * a variable nor a section is text, as templates are full of JSON and code.
 *
 * Takes time linear in the length: what is read of a tag that comes to nothing
 * ends before the next `{{`, and each `{{` is tried once.
 */
export function parseMustache(source: string): Segment[] {
  const segments: Segment[] = [];
  let end = 0;
  let open = source.indexOf("{{");
  while (open !== -1) {
    const tag = tagAt(source, open);
    if (tag === undefined) {
      // One brace further, not two: `{{{name}}` is a brace and a variable.
      open = source.indexOf("{{", open + 1);
      continue;
    }
    if (open > end) segments.push(text(source.slice(end, open)));
    segments.push(tag);
    end = open + tag.raw.length;
    open = source.indexOf("{{", end);
  }
  if (end < source.length) segments.push(text(source.slice(end)));
  return segments;
}

function text(raw: string): Segment {
  return { kind: "text", raw, text: raw };
}

/** The tag whose `{{` is at `open`, unless what stands there is text. */
function tagAt(source: string, open: number): Segment | undefined {
  if (source[open + 2] === "{") return variableAt(source, open, open + 3, "}}}");
  const inside = skipSpace(source, open + 2);
  switch (source[inside]) {
    case "&":
      return variableAt(source, open, inside + 1, "}}");
    case "#":
    case "^":
    case "/":
    case ">":
      return sectionAt(source, open, inside + 1);
    default:
      return variableAt(source, open, inside, "}}");
  }
}

function variableAt(
  source: string,
  open: number,
  inside: number,
  closing: "}}" | "}}}",
): Segment | undefined {
  const start = skipSpace(source, inside);
  const end = endOfDottedName(source, start);
  if (end === start) return undefined;
  const close = skipSpace(source, end);
  if (!source.startsWith(closing, close)) return undefined;
  return {
    kind: "variable",
    raw: source.slice(open, close + closing.length),
    name: source.slice(start, end),
  };
}

const SECTION_NAME_START = /[\p{L}_.]/uy;
const NEXT_DELIMITER = /\{\{|\}\}/g;

/** `{{#name …}}`: after its first letter the inside is free, up to the next delimiter. */
function sectionAt(source: string, open: number, inside: number): Segment | undefined {
  SECTION_NAME_START.lastIndex = skipSpace(source, inside);
  if (!SECTION_NAME_START.test(source)) return undefined;
  NEXT_DELIMITER.lastIndex = SECTION_NAME_START.lastIndex;
  if (NEXT_DELIMITER.exec(source)?.[0] !== "}}") return undefined;
  return { kind: "section", raw: source.slice(open, NEXT_DELIMITER.lastIndex) };
}

const SPACE = /\s*/y;

function skipSpace(source: string, from: number): number {
  SPACE.lastIndex = from;
  SPACE.test(source);
  return SPACE.lastIndex;
}
