import { canonicalJson } from "../content-hash.ts";
import { PromptdError, Violations } from "../errors.ts";
import type { ChatMessage, JsonValue } from "../prompt.ts";
import { LIMITS } from "../validate.ts";
import type { Segment } from "./segment.ts";
import type { ParsedBody } from "./template.ts";

/**
 * The most that a compile puts out, roles included. With a config beside it (128
 * KiB of JSON are up to 0.7 MiB of Protobuf) an answer stays below the 4 MiB
 * that gRPC clients read.
 */
export const MAX_OUTPUT_BYTES = 3 * 1024 * 1024;

/** What becomes of a tag without a value: refused, kept as it is written, or left out. */
export type Missing = "strict" | "keep" | "empty";

export interface CompileInput {
  /** Null and undefined count as missing; names that the template lacks are ignored. */
  variables: Readonly<Record<string, JsonValue | undefined>>;
  /** Messages by placeholder. An empty list is a value: nothing is inserted. */
  placeholders: Readonly<Record<string, readonly ChatMessage[] | undefined>>;
  missing: Missing;
}

/** A filled template. */
export type Compiled = { type: "text"; text: string } | { type: "chat"; messages: ChatMessage[] };

/**
 * Fills a template. A string goes in as it is, any other value as RFC 8785 JSON
 * (in jinja, as the interpreter prints it), and a placeholder's messages as they
 * are. What went in is never parsed: braces in a value are text.
 *
 * The caller has seen to it that values hold no NaN, no infinity and no lone
 * surrogate, and are not nested without bound.
 *
 * @throws invalid naming all variables, placeholders and sections that the
 * policy does not let pass (a placeholder cannot be kept, nor a tag of jinja), and
 * for more than MAX_OUTPUT_BYTES of output; refused where a jinja template cannot
 * be run with these values
 */
export function compile(parsed: ParsedBody, input: CompileInput): Compiled {
  const output = new OutputMeter();
  if (parsed.type === "jinja") {
    const values = givenOf(parsed.template.names, input.variables);
    requireNothingMissing(parsed, values, input);
    return { type: "text", text: output.count(parsed.template.render(values)) };
  }
  const values = valuesOf(parsed.variables, input.variables);
  requireNothingMissing(parsed, values, input);

  const keep = input.missing === "keep";
  if (parsed.type === "text") {
    return { type: "text", text: output.count(fill(parsed.template, values, keep)) };
  }
  const messages: ChatMessage[] = [];
  for (const item of parsed.template) {
    if (item.type === "message") {
      const content = output.count(fill(item.content, values, keep));
      messages.push({ role: output.count(item.role), content });
      continue;
    }
    const inserted = own(input.placeholders, item.name) ?? [];
    // Before they are: a placeholder that stands often multiplies what was sent.
    if (messages.length + inserted.length > LIMITS.chatMessages) throw tooManyMessages();
    for (const message of inserted) {
      output.count(message.role);
      output.count(message.content);
      messages.push(message);
    }
  }
  return { type: "chat", messages };
}

/** The text of each variable that has a value, made once however often it is used. */
function valuesOf(
  names: ReadonlySet<string>,
  variables: CompileInput["variables"],
): Map<string, string> {
  const values = new Map<string, string>();
  for (const name of names) {
    const value = own(variables, name) ?? nested(variables, name);
    if (value === undefined || value === null) continue;
    values.set(name, typeof value === "string" ? value : canonicalJson(value));
  }
  return values;
}

/** The values themselves: jinja looks into them. */
function givenOf(
  names: ReadonlySet<string>,
  variables: CompileInput["variables"],
): Map<string, JsonValue> {
  const given = new Map<string, JsonValue>();
  for (const name of names) {
    const value = own(variables, name);
    if (value !== undefined && value !== null) given.set(name, value);
  }
  return given;
}

/** What stands at `a.b` in {"a": {"b": …}}. */
function nested(variables: CompileInput["variables"], name: string): JsonValue | undefined {
  if (!name.includes(".")) return undefined;
  let value: unknown = variables;
  for (const part of name.split(".")) {
    // An array's `length` is not data of the caller.
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    value = own(value as Record<string, unknown>, part);
  }
  return value as JsonValue | undefined;
}

/** An own property: `constructor` and `__proto__` are names like any other. */
function own<Value>(record: Readonly<Record<string, Value>>, key: string): Value | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function requireNothingMissing(
  parsed: ParsedBody,
  values: ReadonlyMap<string, unknown>,
  { placeholders, missing }: CompileInput,
): void {
  const violations = new Violations();
  if (missing === "keep" && parsed.type === "jinja") {
    const description = "a tag of jinja cannot stay as it is written: expected STRICT or EMPTY";
    violations.add("missing_variables", description);
  }
  if (missing === "strict") {
    for (const name of parsed.variables) {
      if (!values.has(name)) violations.add(`variables.${name}`, "the template needs a value");
    }
  }
  if (missing !== "empty") {
    for (const name of parsed.placeholders) {
      if (own(placeholders, name) !== undefined) continue;
      const description = "the template needs a list of messages, which may be empty";
      violations.add(`placeholders.${name}`, description);
    }
  }
  if (missing === "strict" && parsed.sections.size > 0) {
    const tags = [...parsed.sections].join(", ");
    const description = `promptd does not run sections, KEEP leaves them as text: ${tags}`;
    violations.add("missing_variables", description);
  }
  violations.throwIfAny();
}

function fill(
  segments: readonly Segment[],
  values: ReadonlyMap<string, string>,
  keep: boolean,
): string {
  const parts: string[] = [];
  let units = 0;
  for (const segment of segments) {
    const part = partOf(segment, values, keep);
    parts.push(part);
    units += part.length;
    // Before they are joined. A code unit is at least one byte.
    if (units > MAX_OUTPUT_BYTES) throw outputTooLarge();
  }
  return parts.join("");
}

function partOf(segment: Segment, values: ReadonlyMap<string, string>, keep: boolean): string {
  switch (segment.kind) {
    case "text":
      return segment.text;
    case "variable":
      return values.get(segment.name) ?? (keep ? segment.raw : "");
    case "section":
      return segment.raw;
  }
}

/** A UTF-16 unit takes at most three bytes of UTF-8. */
const BYTES_PER_UNIT = 3;

/** Adds up what is put out. It looks into texts only once they could be too much: that takes as long as filling them. */
class OutputMeter {
  #bytes = 0;
  /** What `#bytes` lacks, and what that may be at most. */
  #uncounted: string[] = [];
  #most = 0;

  /** The text itself. @throws invalid where the sum passes MAX_OUTPUT_BYTES */
  count(text: string): string {
    this.#uncounted.push(text);
    this.#most += BYTES_PER_UNIT * text.length;
    if (this.#bytes + this.#most <= MAX_OUTPUT_BYTES) return text;
    for (const each of this.#uncounted) this.#bytes += Buffer.byteLength(each);
    this.#uncounted = [];
    this.#most = 0;
    if (this.#bytes > MAX_OUTPUT_BYTES) throw outputTooLarge();
    return text;
  }
}

function tooManyMessages(): PromptdError {
  const description = `the output would have more than ${LIMITS.chatMessages} messages`;
  return PromptdError.invalid({ field: "placeholders", description });
}

function outputTooLarge(): PromptdError {
  return PromptdError.invalid({
    field: "variables",
    description: `with these values the output is larger than ${MAX_OUTPUT_BYTES} bytes (3 MiB of UTF-8); send shorter ones`,
  });
}
