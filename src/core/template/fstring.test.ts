import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PromptdError } from "../errors.ts";
import { parseFstring } from "./fstring.ts";

const MIB = 1024 * 1024;

const parse = (source: string) => parseFstring(source, "text");

function refusal(source: string): string {
  try {
    parse(source);
  } catch (error) {
    expect(error).toBeInstanceOf(PromptdError);
    const { code, violations } = error as PromptdError;
    expect(code).toBe("invalid");
    expect(violations).toHaveLength(1);
    expect(violations[0]?.field).toBe("text");
    return violations[0]?.description ?? "";
  }
  throw new Error(`expected ${source} to be refused`);
}

describe("a variable", () => {
  test.each([
    ["{name}", "name"],
    ["{_}", "_"],
    ["{a1}", "a1"],
    ["{größe}", "größe"],
    ["{名前}", "名前"],
    ["{__proto__}", "__proto__"],
  ])("%s", (raw, name) => {
    expect(parse(raw)).toEqual([{ kind: "variable", raw, name }]);
  });
});

describe("doubled braces are literal ones", () => {
  test.each([
    ["no brace", "no brace"],
    ["{{", "{"],
    ["}}", "}"],
    ["{{}}", "{}"],
    ["{{{{", "{{"],
    ["{{name}}", "{name}"],
    ['{{"a": {{"b": 1}}}}', '{"a": {"b": 1}}'],
  ])("%s", (raw, text) => {
    expect(parse(raw)).toEqual([{ kind: "text", raw, text }]);
  });

  test("around a variable", () => {
    expect(parse("{{{name}}}, {{x}}")).toEqual([
      { kind: "text", raw: "{{", text: "{" },
      { kind: "variable", raw: "{name}", name: "name" },
      { kind: "text", raw: "}}, {{x}}", text: "}, {x}" },
    ]);
  });

  test("an empty source has no segment", () => {
    expect(parse("")).toEqual([]);
  });
});

describe("any other brace is refused", () => {
  const expected =
    "expected a variable such as {name}; write {{ for a literal brace, }} for a closing one";

  test.each([
    ["{name", "line 1, column 1: found a { without its }"],
    ["{", "line 1, column 1: found a { without its }"],
    ["}", "line 1, column 1: found a single }"],
    ["a } b", "line 1, column 3: found a single }"],
    ["{x}}", "line 1, column 4: found a single }"],
    ["{{x}", "line 1, column 4: found a single }"],
    ["{{{x}}", "line 1, column 6: found a single }"],
    ["{}", "line 1, column 1: found braces around what is no variable name"],
    ["{0}", "line 1, column 1: found braces around what is no variable name"],
    ["{ x }", "line 1, column 1: found braces around what is no variable name"],
    ["{a.b}", "line 1, column 1: found braces around what is no variable name"],
    ["{a-b}", "line 1, column 1: found braces around what is no variable name"],
    ["{a[0]}", "line 1, column 1: found braces around what is no variable name"],
    ["{a!r}", "line 1, column 1: found braces around what is no variable name"],
    ["{x:>3}", "line 1, column 1: found braces around what is no variable name"],
    ["{x:{y}}", "line 1, column 1: found a { without its }"],
    ["{a\nb}", "line 1, column 1: found a { without its }"],
    ["one\ntwo {a.b}", "line 2, column 5: found braces around what is no variable name"],
    ["\r\n\n😀é{0}", "line 3, column 3: found braces around what is no variable name"],
    ["{ok}\n{ok}{{ {no", "line 2, column 8: found a { without its }"],
    [`{${"a".repeat(99)}!r}`, `line 1, column 1: found braces around what is no variable name`],
  ])("%j", (source, found) => {
    expect(refusal(source)).toBe(`${found}, ${expected}`);
  });

  test("never cuts a character in two", () => {
    expect(refusal(`{${"😀".repeat(50)}`).isWellFormed()).toBe(true);
  });

  test("names the caller's field", () => {
    const field = "chat.items[3].message.content";
    expect(() => parseFstring("}", field)).toThrow(`${field}: line 1, column 1`);
  });
});

const token = fc.oneof(
  fc.constantFrom("{{", "}}", "{x}", "{name}", "{{x}}", "\n", "$&"),
  fc.string({ unit: "binary", maxLength: 4 }).map((text) => text.replace(/[{}]/g, "")),
);

test("the raws of what parses are the source again", () => {
  fc.assert(
    fc.property(fc.array(token), (tokens) => {
      const source = tokens.join("");
      const segments = parse(source);
      expect(segments.map(({ raw }) => raw).join("")).toBe(source);
    }),
  );
});

test("any text parses once its braces are doubled, and stands for itself", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(token, fc.constantFrom("{", "}", "{0}"))), (tokens) => {
      const source = tokens.join("");
      const segments = parse(source.replace(/[{}]/g, "$&$&"));
      const text = segments.map((segment) => (segment.kind === "text" ? segment.text : "?"));
      expect(text.join("")).toBe(source);
    }),
  );
});

// A parser whose time grew with the square of the length would need hours here.
test.each(["{{", "}}", "{x}", "{{x}}", "{x}}}{{"])("a MiB of %s parses", (piece) => {
  const source = piece.repeat(MIB / piece.length);
  const raws = parse(source).map(({ raw }) => raw);
  expect(raws.join("") === source).toBe(true);
});

test.each([
  ["{", "{{".repeat(MIB / 2), "line 1, column 1048577: found a { without its }"],
  ["}", "\n".repeat(MIB), "line 1048577, column 1: found a single }"],
  ["}", "é".repeat(MIB), "line 1, column 1048577: found a single }"],
])("finds a %s behind a MiB of text", (brace, text, found) => {
  expect(refusal(text + brace)).toContain(found);
});
