/** The test cases that a prompt file holds under its key `tests`. */

import { compile } from "json-p3";
import { z } from "zod";
import { PromptdError } from "../core/errors.ts";
import type { ChatMessage, JsonValue } from "../core/prompt.ts";
import { Validator } from "../core/validate.ts";
import { unicodeText } from "./header.ts";
import { problemOf, strictKeys } from "./keys.ts";
import type { Place, Places } from "./places.ts";

/** How a template is filled, and what comes of it. At least one of the last four is there. */
export interface TestCase {
  /** Unique in its file. */
  name: string;
  variables: Record<string, JsonValue>;
  placeholders: Record<string, ChatMessage[]>;
  /** The whole text, the whole chat, or what holds of it. */
  expect?: string | ChatMessage[] | Matcher[];
  snapshot?: boolean;
  /** A part of why Compile refuses it. */
  error?: string;
  /** What holds of a model's answer. */
  answer?: Matcher[];
}

/** One of the first six is there, and beside `jsonPath` one of the two that follow. */
export type Matcher = z.output<typeof MATCHER>;

/** A case, or why there is none, and where its parts stand. */
export type ReadCase = {
  /** As it is written, or by its number from 0. */
  title: string;
  /** @param path in the case, such as `expect`, 0 */
  placeOf: (...path: PropertyKey[]) => Place;
} & ({ testCase: TestCase } | { problem: string; place: Place });

/** As `matches` has it: a dot is a character, `^` and `$` stand at each line. */
export const PATTERN_FLAGS = "um";

/** Longer ones are data. */
const MAX_EXPRESSION = 2000;

const filled = unicodeText().min(1, "expected a text that is not empty");

const sound = (what: string, parse: (text: string) => unknown) =>
  filled.max(MAX_EXPRESSION, `expected at most ${MAX_EXPRESSION} characters`).check((context) => {
    try {
      parse(context.value);
    } catch (thrown) {
      const message = `expected ${what}: ${(thrown as Error).message}`;
      context.issues.push({ code: "custom", input: context.value, message });
    }
  });

const pattern = sound("a regular expression", (text) => new RegExp(text, PATTERN_FLAGS));
const count = z.int({ error: "expected a whole number" }).min(0, "expected 0 or more");

/** What is asked of a text; a matcher asks one thing. */
const QUESTIONS = ["contains", "not_contains", "matches", "not_matches", "json_path", "length"];

const MATCHER = strictKeys({
  contains: filled.optional(),
  not_contains: filled.optional(),
  matches: pattern.optional(),
  not_matches: pattern.optional(),
  json_path: sound("a JSON path of RFC 9535", compile).optional(),
  length: strictKeys({ min: count.optional(), max: count.optional() })
    .refine(({ min, max }) => (min ?? max) !== undefined, "expected min, max or both")
    .refine(({ min = 0, max = min }) => min <= max, "expected a min up to max")
    .optional(),
  equals: z.unknown().optional(),
  exists: z.boolean({ error: "expected true or false" }).optional(),
  message: z.int({ error: "expected the number of a message" }).optional(),
})
  .refine(
    (matcher) => QUESTIONS.filter((key) => key in matcher).length === 1,
    `expected one of ${QUESTIONS.join(", ")}`,
  )
  .refine(
    (matcher) =>
      ["equals", "exists"].filter((key) => key in matcher).length ===
      ("json_path" in matcher ? 1 : 0),
    "expected one of equals and exists beside json_path, and nowhere else",
  );

const MATCHERS = z
  .array(MATCHER, { error: "expected a list, such as - contains: TEXT" })
  .min(1, "expected at least one");

const MESSAGES = z.array(strictKeys({ role: unicodeText(), content: unicodeText() }), {
  error: "expected a list of messages",
});

/** Of what a record of zod would lose a name. */
const values = z.custom<Record<string, JsonValue>>(isObject, "expected names and their values");

const CASE = strictKeys({
  name: filled
    .max(200, "expected at most 200 characters")
    .regex(/^[^\p{Cc}\u2028\u2029\ufeff]*$/u, "expected one line"),
  variables: values.default({}),
  placeholders: z
    .record(z.string(), MESSAGES, { error: "expected names, and a list of messages each" })
    .default({}),
  expect: z.unknown().optional(),
  snapshot: z.boolean({ error: "expected true or false" }).optional(),
  error: filled.optional(),
  answer: MATCHERS.optional(),
});

/** Each by itself, so that a broken one stops no other. @param places of the file that holds them */
export function readCases(tests: readonly JsonValue[], places: Places): ReadCase[] {
  const names = new Set<string>();
  return tests.map((test, index) => {
    const placeOf = (...path: PropertyKey[]) => places.ofKey("tests", index, ...path);
    const title = isObject(test) && typeof test.name === "string" ? test.name : `tests[${index}]`;
    const read = readCase(test);
    if ("testCase" in read && names.has(title)) {
      const problem = "name: expected one that no case above has";
      return { title, placeOf, problem, place: placeOf("name") };
    }
    names.add(title);
    if ("testCase" in read) return { title, placeOf, ...read };
    return { title, placeOf, problem: read.message, place: placeOf(...read.path) };
  });
}

type Problem = ReturnType<typeof problemOf>;

function readCase(test: JsonValue): { testCase: TestCase } | Problem {
  const parsed = CASE.safeParse(test);
  if (!parsed.success) return problemOf(parsed.error);
  const { expect, ...rest } = parsed.data;
  const testCase = { ...rest, ...(expect !== undefined && { expect }) } as TestCase;
  if (expect !== undefined) {
    const checked = z.object({ expect: expectation(expect) }).safeParse({ expect });
    if (!checked.success) return problemOf(checked.error);
  }
  return contradiction(testCase) ?? messageProblem(testCase) ?? { testCase };
}

/** By its looks, so that an error is about what was meant. */
function expectation(expect: unknown): z.ZodType {
  if (typeof expect === "string") return unicodeText();
  const isChat = Array.isArray(expect) && expect.some((item) => isObject(item) && "role" in item);
  return isChat ? MESSAGES : MATCHERS;
}

function contradiction({ expect, snapshot, error, answer }: TestCase): Problem | undefined {
  const output = expect !== undefined || snapshot || answer !== undefined;
  if (error !== undefined && output) {
    const message =
      "error: expected without expect, snapshot and answer: there is nothing to look at";
    return { path: ["error"], message };
  }
  if (error !== undefined || output) return undefined;
  return { path: [], message: "expected one of expect, snapshot, error and answer" };
}

/** The limits that Compile sets. */
function messageProblem({ placeholders }: TestCase): Problem | undefined {
  for (const [name, messages] of Object.entries(placeholders)) {
    try {
      const validator = new Validator();
      validator.placeholderMessages(messages, `placeholders.${name}`);
      validator.done();
    } catch (thrown) {
      if (!(thrown instanceof PromptdError)) throw thrown;
      return { path: ["placeholders", name], message: thrown.message };
    }
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
