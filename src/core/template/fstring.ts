import { PromptdError } from "../errors.ts";
import { endOfIdentifier } from "./names.ts";
import type { Segment } from "./segment.ts";

const NEXT_BRACE = /[{}]/g;

/**
 * Parses `{name}`; `{{` and `}}` are literal braces. The rest of Python's
 * format language (`{}`, `{0}`, `{a.b}`, `{a!r}`, `{x:>3}`) is refused: taken as
 * text it would reach a model unfilled. Takes time linear in the length.
 *
 * @param field is the field of the request that an error names
 * @throws invalid, with line and column, where a brace is neither
 */
export function parseFstring(source: string, field: string): Segment[] {
  const segments: Segment[] = [];
  let end = 0;
  let brace = nextBrace(source, 0);
  while (brace !== -1) {
    if (source[brace + 1] === source[brace]) {
      brace = nextBrace(source, brace + 2);
      continue;
    }
    const variable = source[brace] === "{" ? variableAt(source, brace) : undefined;
    if (variable === undefined) throw unexpectedBrace(source, brace, field);
    if (brace > end) segments.push(text(source.slice(end, brace)));
    segments.push(variable);
    end = brace + variable.raw.length;
    brace = nextBrace(source, end);
  }
  if (end < source.length) segments.push(text(source.slice(end)));
  return segments;
}

function nextBrace(source: string, from: number): number {
  NEXT_BRACE.lastIndex = from;
  return NEXT_BRACE.test(source) ? NEXT_BRACE.lastIndex - 1 : -1;
}

/** Every brace in `raw` is one of a pair. */
function text(raw: string): Segment {
  return { kind: "text", raw, text: raw.replaceAll("{{", "{").replaceAll("}}", "}") };
}

function variableAt(source: string, open: number): Segment | undefined {
  const close = endOfIdentifier(source, open + 1);
  if (close === open + 1 || source[close] !== "}") return undefined;
  return {
    kind: "variable",
    raw: source.slice(open, close + 1),
    name: source.slice(open + 1, close),
  };
}

function unexpectedBrace(source: string, brace: number, field: string): PromptdError {
  const { line, column } = position(source, brace);
  const description =
    `line ${line}, column ${column}: found ${found(source, brace)}, ` +
    "expected a variable such as {name}; write {{ for a literal brace, }} for a closing one";
  return PromptdError.invalid({ field, description });
}

/** What stands at a brace, in words: errors end in logs and do not hold template text. */
function found(source: string, brace: number): string {
  if (source[brace] === "}") return "a single }";
  const end = source.slice(brace + 1).search(/[{}\n]|$/) + brace + 1;
  return source[end] === "}" ? "braces around what is no variable name" : "a { without its }";
}

/** Line and column of an index, both from 1; columns count code points. */
function position(source: string, index: number): { line: number; column: number } {
  let line = 1;
  let lineStart = 0;
  for (let i = source.indexOf("\n"); i !== -1 && i < index; i = source.indexOf("\n", i + 1)) {
    line += 1;
    lineStart = i + 1;
  }
  let column = 1;
  for (const _ of source.slice(lineStart, index)) column += 1;
  return { line, column };
}
