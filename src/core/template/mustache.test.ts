import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseMustache } from "./mustache.ts";
import type { Segment } from "./segment.ts";

const MIB = 1024 * 1024;

/** One word per segment: the text, `name` for a variable, `§raw` for a section. */
function outline(segments: readonly Segment[]): string[] {
  return segments.map((segment) => {
    if (segment.kind === "text") return segment.text;
    return segment.kind === "variable" ? `<${segment.name}>` : `§${segment.raw}`;
  });
}

describe("a variable", () => {
  test.each([
    ["{{name}}", "name"],
    ["{{ name }}", "name"],
    ["{{\n\tname\r\n}}", "name"],
    ["{{{name}}}", "name"],
    ["{{{ name }}}", "name"],
    ["{{&name}}", "name"],
    ["{{ & name }}", "name"],
    ["{{_}}", "_"],
    ["{{a1}}", "a1"],
    ["{{interactsh-url}}", "interactsh-url"],
    ["{{user.name}}", "user.name"],
    ["{{a.b-c._d}}", "a.b-c._d"],
    ["{{größe}}", "größe"],
    ["{{名前}}", "名前"],
    ["{{नाम}}", "नाम"],
    ["{{𝒳}}", "𝒳"],
    ["{{__proto__}}", "__proto__"],
    ["{{else}}", "else"],
  ])("%s", (raw, name) => {
    expect(parseMustache(raw)).toEqual([{ kind: "variable", raw, name }]);
  });

  test("may have any length", () => {
    const name = "a".repeat(MIB);
    expect(parseMustache(`{{${name}}}`)).toMatchObject([{ kind: "variable", name }]);
  });
});

describe("text", () => {
  test.each([
    "",
    "no tag",
    "{",
    "}}",
    "{{",
    "{{name",
    "{{name}",
    "{name}",
    "{ {name} }",
    "{{}}",
    "{{ }}",
    "{{.}}",
    "{{1}}",
    "{{-a}}",
    "{{a.}}",
    "{{.a}}",
    "{{a..b}}",
    "{{a.0}}",
    "{{a b}}",
    "{{a|b}}",
    "{{'a'}}",
    "{{😀}}",
    "{{<expression>}}",
    "{{base64('hello')}}",
    "{{ a || 'b' }}",
    "{{/* go */}}",
    "{{!comment}}",
    "{{! comment }}",
    "{{=<% %>=}}",
    "{{>= 5}}",
    "{{# }}",
    "{{#1}}",
    "{{#a",
    "{{#a}",
    "{{&}}",
    "{{& #a}}",
    '{"a": {"b": {}}}',
    "@@@langfusePrompt:name=a|label=b@@@",
  ])("%s", (source) => {
    expect(outline(parseMustache(source))).toEqual(source === "" ? [] : [source]);
  });
});

describe("a section or partial is kept as it is written", () => {
  test.each([
    "{{#items}}",
    "{{^items}}",
    "{{/items}}",
    "{{>header}}",
    "{{ # items }}",
    "{{#each items as |item|}}",
    "{{#if (eq a 1)}}",
    "{{#.}}",
    "{{/.}}",
    "{{>_partial}}",
    "{{#über}}",
    "{{#a { b }}",
  ])("%s", (raw) => {
    expect(parseMustache(raw)).toEqual([{ kind: "section", raw }]);
  });
});

describe("tags among text", () => {
  test.each<[string, string[]]>([
    ["Hi {{name}}!", ["Hi ", "<name>", "!"]],
    ["{{a}}{{b}}", ["<a>", "<b>"]],
    ["{{ a {{name}}", ["{{ a ", "<name>"]],
    ["{{{{name}}}}", ["{", "<name>", "}"]],
    ["{{{name}}", ["{", "<name>"]],
    ["{{name}}}", ["<name>", "}"]],
    ["{{{&name}}}", ["{", "<name>", "}"]],
    ['{"a": {{a}}, "b": {{{b}}}}', ['{"a": ', "<a>", ', "b": ', "<b>", "}"]],
    ["{{#a {{name}} }}", ["{{#a ", "<name>", " }}"]],
    ["{{#a}}{{.}}{{/a}}", ["§{{#a}}", "{{.}}", "§{{/a}}"]],
    ["{{{#a}}}", ["{", "§{{#a}}", "}"]],
    ["{{!-- {{name}} --}}", ["{{!-- ", "<name>", " --}}"]],
    ["http://{{host}}:{{port}}/", ["http://", "<host>", ":", "<port>", "/"]],
    [
      '{{java("c3.1", "wget http://{{interactsh-url}}")}}',
      ['{{java("c3.1", "wget http://', "<interactsh-url>", '")}}'],
    ],
  ])("%s", (source, expected) => {
    expect(outline(parseMustache(source))).toEqual(expected);
  });
});

/** Text in which tags, whole and broken, are frequent. */
const braced = fc
  .array(
    fc.oneof(
      fc.constantFrom("{", "{{", "{{{", "}", "}}", "}}}", "#", "^", "/", ">", "&", "!", "=", "."),
      fc.constantFrom(" ", "\n", "a", "name", "a.b", "é", "😀", "1", "-", "_", "{{x}}", "{{#x}}"),
      fc.string({ unit: "binary", maxLength: 3 }),
    ),
    { maxLength: 40 },
  )
  .map((pieces) => pieces.join(""));

test("the raws of any text's segments are the text again", () => {
  fc.assert(
    fc.property(braced, (source) => {
      const segments = parseMustache(source);
      expect(segments.map(({ raw }) => raw).join("")).toBe(source);
    }),
    { numRuns: 2000 },
  );
});

test("text is never split in two, never empty and always itself", () => {
  fc.assert(
    fc.property(braced, (source) => {
      const segments = parseMustache(source);
      segments.forEach((segment, index) => {
        expect(segment.raw).not.toBe("");
        if (segment.kind !== "text") return;
        expect(segment.text).toBe(segment.raw);
        expect(segments[index + 1]?.kind).not.toBe("text");
      });
    }),
  );
});

test("every tag, cut out, parses to the same segment", () => {
  fc.assert(
    fc.property(braced, (source) => {
      for (const segment of parseMustache(source)) {
        if (segment.kind !== "text") expect(parseMustache(segment.raw)).toEqual([segment]);
      }
    }),
  );
});

// A parser whose time grew with the square of the length would need hours here.
test.each([
  "{",
  "{{",
  "{{{",
  "}}",
  "{{ ",
  "{{a",
  "{{a.",
  "{{&",
  "{{#a",
  "{{# ",
  "{{!",
  "{{ a {{x}}",
  `{{${" ".repeat(999)}`,
  `{{${"a.".repeat(999)}`,
])("a MiB of %s parses", (piece) => {
  const source = piece.repeat(MIB / piece.length);
  const segments = parseMustache(source);
  expect(segments.map(({ raw }) => raw).join("") === source).toBe(true);
});

test.each(["{{", "{{#a", "{{a "])("a MiB of space behind %s parses", (start) => {
  expect(parseMustache(start + " ".repeat(MIB))).toHaveLength(1);
});
