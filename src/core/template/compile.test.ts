import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PromptdError, type Violation } from "../errors.ts";
import type { ChatItem, ChatMessage, JsonValue, TemplateFormat } from "../prompt.ts";
import { type CompileInput, compile, MAX_OUTPUT_BYTES } from "./compile.ts";
import { parseBody } from "./template.ts";

const MIB = 1024 * 1024;

type Input = Partial<CompileInput> & { format?: TemplateFormat };

function compileText(template: string, { format = "mustache", ...input }: Input = {}): string {
  const parsed = parseBody({ type: "text", format, template, config: {} });
  const compiled = compile(parsed, {
    variables: {},
    placeholders: {},
    missing: "strict",
    ...input,
  });
  if (compiled.type !== "text") throw new Error("expected a text");
  return compiled.text;
}

function compileChat(template: ChatItem[], input: Input = {}): ChatMessage[] {
  const { format = "mustache", ...rest } = input;
  const parsed = parseBody({ type: "chat", format, template, config: {} });
  const compiled = compile(parsed, { variables: {}, placeholders: {}, missing: "strict", ...rest });
  if (compiled.type !== "chat") throw new Error("expected a chat");
  return compiled.messages;
}

const message = (role: string, content: string): ChatMessage => ({ role, content });
const item = (role: string, content: string): ChatItem => ({ type: "chatmessage", role, content });
const placeholder = (name: string): ChatItem => ({ type: "placeholder", name });

function violations(run: () => unknown): readonly Violation[] {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(PromptdError);
    expect((error as PromptdError).code).toBe("invalid");
    return (error as PromptdError).violations;
  }
  throw new Error("expected to be refused");
}

describe("values", () => {
  test.each<[string, JsonValue, string]>([
    ["a string", 'a "b" <c> & d\n', 'a "b" <c> & d\n'],
    ["an empty string", "", ""],
    ["a number", 1.5, "1.5"],
    ["a large number", 1e21, "1e+21"],
    ["minus zero", -0, "0"],
    ["true", true, "true"],
    ["false", false, "false"],
    ["a list", [1, "a", null], '[1,"a",null]'],
    ["an object, keys in order", { b: 1, a: { d: [], c: "é" } }, '{"a":{"c":"é","d":[]},"b":1}'],
  ])("%s", (_, value, expected) => {
    expect(compileText("<{{v}}>", { variables: { v: value } })).toBe(`<${expected}>`);
    const fstring = { format: "fstring", variables: { v: value } } as const;
    expect(compileText("<{v}>", fstring)).toBe(`<${expected}>`);
  });

  test("all three spellings of a tag are filled alike", () => {
    expect(compileText("{{v}} {{{ v }}} {{&v}}", { variables: { v: "<" } })).toBe("< < <");
  });

  test("those that the template lacks are ignored", () => {
    expect(compileText("a", { variables: { b: 1 } })).toBe("a");
  });

  test.each([
    "{{v}}",
    "{{other}}",
    "{{{v}}}",
    "{{#s}}{{/s}}",
    "{v}",
    "{{",
    "}}",
    "$&",
    "$1$$$`",
    "@@@langfusePrompt:name=x|version=1@@@",
  ])("%s in a value is text", (value) => {
    const variables = { v: value, other: "no" };
    expect(compileText("[{{v}}{{other}}]", { variables })).toBe(`[${value}no]`);
    expect(compileText("[{v}{other}]", { format: "fstring", variables })).toBe(`[${value}no]`);
  });

  test("two values never make a tag", () => {
    const variables = { open: "{{", close: "}}", x: "no" };
    expect(compileText("{{open}}x{{close}}", { variables })).toBe("{{x}}");
  });
});

describe("a name with dots", () => {
  const compileDotted = (variables: CompileInput["variables"]) =>
    compileText("{{user.name}}", { variables, missing: "keep" });

  test("is looked up as a key first", () => {
    expect(compileDotted({ "user.name": "key", user: { name: "path" } })).toBe("key");
  });

  test("then in nested objects", () => {
    expect(compileDotted({ user: { name: "path" } })).toBe("path");
    expect(compileDotted({ "user.name": null, user: { name: "path" } })).toBe("path");
    const variables = { a: { b: { c: { d: 1 } } } };
    expect(compileText("{{a.b.c}}", { variables })).toBe('{"d":1}');
  });

  test.each<[string, CompileInput["variables"]]>([
    ["nothing", {}],
    ["null", { user: null }],
    ["a string", { user: "name" }],
    ["an object without it", { user: {} }],
    ["a null in it", { user: { name: null } }],
    ["a key of another depth", { name: "no", user: { "user.name": "no" } }],
  ])("is missing in %s", (_, variables) => {
    expect(compileDotted(variables)).toBe("{{user.name}}");
  });

  test("does not reach into lists, strings or prototypes", () => {
    const variables = { list: [1, 2], text: "abc", object: {} };
    const template = "{{list.length}}{{text.length}}{{object.constructor}}{{object.toString.name}}";
    expect(compileText(template, { variables, missing: "keep" })).toBe(template);
  });
});

describe("names of Object.prototype", () => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];

  test.each(names)("%s is missing", (name) => {
    expect(violations(() => compileText(`{{${name}}}`))).toMatchObject([
      { field: `variables.${name}` },
    ]);
    expect(violations(() => compileChat([placeholder(name)]))).toMatchObject([
      { field: `placeholders.${name}` },
    ]);
  });

  test.each(names)("%s is given", (name) => {
    const variables = JSON.parse(`{"${name}": "v"}`);
    expect(compileText(`{{${name}}}`, { variables })).toBe("v");
    const placeholders = JSON.parse(`{"${name}": [{"role": "user", "content": "c"}]}`);
    expect(compileChat([placeholder(name)], { placeholders })).toEqual([message("user", "c")]);
  });
});

describe("strict", () => {
  test("names all that is missing, each once, in order", () => {
    const template = [
      item("system", "{{b}} {{a}} {{b}} {{given}} {{nothing}} {{#s}}x{{/s}}{{#s}}{{>p}}"),
      placeholder("history"),
      placeholder("examples"),
      placeholder("none"),
    ];
    const input = { variables: { given: 1, nothing: null }, placeholders: { none: [] } };
    expect(violations(() => compileChat(template, input))).toEqual([
      { field: "variables.b", description: "the template needs a value" },
      { field: "variables.a", description: "the template needs a value" },
      { field: "variables.nothing", description: "the template needs a value" },
      {
        field: "placeholders.history",
        description: "the template needs a list of messages, which may be empty",
      },
      {
        field: "placeholders.examples",
        description: "the template needs a list of messages, which may be empty",
      },
      {
        field: "missing_variables",
        description:
          "promptd does not run sections, KEEP leaves them as text: {{#s}}, {{/s}}, {{>p}}",
      },
    ]);
  });

  test("undefined counts as missing", () => {
    expect(violations(() => compileText("{{a}}", { variables: { a: undefined } }))).toHaveLength(1);
  });
});

describe("keep", () => {
  test("leaves tags as they are written", () => {
    const template = "{{ a }} {{{b}}} {{&c}} {{d}} {{#s}}x{{/s}}";
    const filled = "{{ a }} {{{b}}} {{&c}} D {{#s}}x{{/s}}";
    expect(compileText(template, { missing: "keep", variables: { d: "D", b: null } })).toBe(filled);
  });

  test("of an fstring, whose literal braces are single ones all the same", () => {
    const input = { format: "fstring", missing: "keep", variables: { b: 1 } } as const;
    expect(compileText("{{x}} {a} {b}", input)).toBe("{x} {a} 1");
  });

  test("refuses a missing placeholder, and that alone", () => {
    const template = [item("user", "{{a}}{{#s}}"), placeholder("h")];
    expect(violations(() => compileChat(template, { missing: "keep" }))).toMatchObject([
      { field: "placeholders.h" },
    ]);
  });
});

describe("empty", () => {
  test("puts nothing in the place of what is missing, and keeps sections", () => {
    const template = [item("user", "[{{a}}{{b}}]{{#s}}x{{/s}}"), placeholder("h")];
    expect(compileChat(template, { missing: "empty", variables: { b: "B" } })).toEqual([
      message("user", "[B]{{#s}}x{{/s}}"),
    ]);
  });

  test("keeps literal braces of an fstring", () => {
    expect(compileText("{{x}}{a}", { format: "fstring", missing: "empty" })).toBe("{x}");
  });
});

describe("chat", () => {
  test("messages of a placeholder stand where it stood", () => {
    const template = [item("system", "Be {{tone}}."), placeholder("h"), item("user", "{{q}}")];
    const placeholders = { h: [message("user", "1"), message("assistant", "2")], other: [] };
    const variables = { tone: "kind", q: "3" };
    expect(compileChat(template, { placeholders, variables })).toEqual([
      message("system", "Be kind."),
      message("user", "1"),
      message("assistant", "2"),
      message("user", "3"),
    ]);
  });

  test("an empty list is given, not missing", () => {
    expect(compileChat([placeholder("h")], { placeholders: { h: [] } })).toEqual([]);
  });

  test("roles are not filled", () => {
    const template = [item("{{r}}", "{{r}}")];
    expect(compileChat(template, { variables: { r: "x" } })).toEqual([message("{{r}}", "x")]);
  });
});

describe("the bound on output", () => {
  const fits = "a".repeat(MAX_OUTPUT_BYTES);
  const refusal = [{ field: "variables", description: expect.stringContaining("3 MiB of UTF-8") }];

  test("holds at both edges", () => {
    expect(compileText("{{v}}", { variables: { v: fits } })).toHaveLength(MAX_OUTPUT_BYTES);
    expect(violations(() => compileText("{{v}}b", { variables: { v: fits } }))).toEqual(refusal);
  });

  test("counts bytes of UTF-8", () => {
    const third = MAX_OUTPUT_BYTES / 3;
    const euros = { variables: { v: "€".repeat(third) } };
    expect(compileText("{{v}}", euros)).toHaveLength(third);
    expect(violations(() => compileText("{{v}}b", euros))).toEqual(refusal);
  });

  test("is one for all messages, roles and placeholders", () => {
    const half = "a".repeat(MAX_OUTPUT_BYTES / 2 - 1);
    const template = [item("u", "{{v}}"), placeholder("h")];
    const input = (content: string) => ({
      variables: { v: half },
      placeholders: { h: [message("u", content)] },
    });
    expect(compileChat(template, input(half))).toHaveLength(2);
    expect(violations(() => compileChat(template, input(`${half}b`)))).toEqual(refusal);
  });

  // 600 GB, were they built before they are counted.
  test("refuses a MiB of tags for a value of 3 MiB", () => {
    const template = "{{x}}".repeat(MIB / 5);
    expect(violations(() => compileText(template, { variables: { x: fits } }))).toEqual(refusal);
  });

  test("a MiB of tags for short values compiles", () => {
    const count = Math.floor(MIB / 5);
    const output = compileText("{{x}}".repeat(count), { variables: { x: [1] } });
    expect(output).toHaveLength(3 * count);
  });
});

test("a value is written as JSON once, however often it is used", () => {
  let reads = 0;
  const v = Object.defineProperty({}, "a", { enumerable: true, get: () => ++reads });
  const output = compileText("{{v}} ".repeat(9), { variables: { v } });
  expect(new Set(output.trim().split(" ")).size).toBe(1);
});

// Pieces of which templates are generated: literals that must come out as they
// are, and variables. A literal does not end with what could open a tag.
const literal = fc.oneof(
  fc.constantFrom("", " ", "$&", "$1", "{{base64('hello')}}", "{{!c}}", '{"a": {"b": 1}}', "\n"),
  fc.constantFrom("@@@langfusePrompt:name=a|version=1@@@", "{{ open ", "%s", "\\", "😀"),
  fc.string({ unit: "grapheme", maxLength: 8 }).map((text) => text.replace(/[{}]/g, "")),
);
const names = ["a", "b", "user.name", "__proto__", "x-y"];
const value = fc.oneof(
  fc.constantFrom("{{a}}", "{{other}}", "{{{b}}}", "{a}", "{x}", "{{#s}}", "{{/s}}", "{{", "}}"),
  fc.constantFrom("@@@langfusePrompt:name=x|version=1@@@", "$&", "$1", "$$", "$<a>", "`", "\0"),
  fc.string({ unit: "grapheme" }),
);
const pieces = fc.array(
  fc.oneof(
    fc.record({ literal }),
    fc.record({ name: fc.constantFrom(...names), space: fc.constantFrom("", " ", "\n") }),
  ),
);
const variables = fc
  .tuple(...names.map(() => value))
  .map((values) => Object.fromEntries(names.map((name, index) => [name, values[index] ?? ""])));

test("output is the template's own text and the values, nothing else", () => {
  fc.assert(
    fc.property(pieces, variables, (pieces, variables) => {
      const template = pieces
        .map((piece) =>
          "name" in piece ? `{{${piece.space}${piece.name}${piece.space}}}` : piece.literal,
        )
        .join("");
      const expected = pieces
        .map((piece) => ("name" in piece ? variables[piece.name] : piece.literal))
        .join("");
      expect(compileText(template, { variables })).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});

test("the same of an fstring", () => {
  const identifier = (name: string) => name.replace(/[.-]/, "_");
  fc.assert(
    fc.property(pieces, variables, (pieces, byName) => {
      const variables = Object.fromEntries(
        Object.entries(byName).map(([name, value]) => [identifier(name), value]),
      );
      const template = pieces
        .map((piece) =>
          "name" in piece
            ? `{${identifier(piece.name)}}`
            : piece.literal.replaceAll("{", "{{").replaceAll("}", "}}"),
        )
        .join("");
      const expected = pieces
        .map((piece) => ("name" in piece ? byName[piece.name] : piece.literal))
        .join("");
      expect(compileText(template, { format: "fstring", variables })).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});

test("messages of a placeholder come out as they went in", () => {
  const messages = fc.array(fc.record({ role: value, content: value }), { maxLength: 5 });
  fc.assert(
    fc.property(messages, variables, (h, variables) => {
      const template = [item("system", "{{a}}"), placeholder("h"), item("user", "{{b}}")];
      const [first, ...rest] = compileChat(template, { variables, placeholders: { h } });
      expect(first).toEqual(message("system", variables.a ?? ""));
      expect(rest.slice(0, -1)).toEqual(h);
    }),
  );
});

test("keeping everything that is missing gives a mustache template back", () => {
  const tags = fc.constantFrom("{{a}}", "{{{b}}}", "{{& c }}", "{{#s}}", "{{/s}}", "{{", "}}", "x");
  fc.assert(
    fc.property(fc.array(tags), (pieces) => {
      const template = pieces.join("");
      expect(compileText(template, { missing: "keep" })).toBe(template);
    }),
  );
});
