import { beforeAll, describe, expect, it } from "vitest";
import { PromptdError } from "../errors.ts";
import type { JsonValue, PromptBody } from "../prompt.ts";
import { type CompileInput, compile } from "./compile.ts";
import { loadJinja, parseBody } from "./template.ts";

const body = (template: string): PromptBody => ({
  type: "text",
  format: "jinja",
  template,
  config: {},
});

function render(
  template: string,
  variables: Record<string, JsonValue> = {},
  missing: CompileInput["missing"] = "strict",
): string {
  const compiled = compile(parseBody(body(template)), { variables, placeholders: {}, missing });
  if (compiled.type !== "text") throw new Error("expected a text");
  return compiled.text;
}

function refusal(run: () => unknown): PromptdError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(PromptdError);
    return error as PromptdError;
  }
  throw new Error("expected to be refused");
}

it("is not parsed before the interpreter is loaded, nor as a chat", async () => {
  expect(refusal(() => parseBody(body("x"))).code).toBe("refused");
  await loadJinja();
  expect(render("x")).toBe("x");
  const chat: PromptBody = {
    type: "chat",
    format: "jinja",
    template: [{ type: "chatmessage", role: "user", content: "x" }],
    config: {},
  };
  expect(refusal(() => parseBody(chat)).code).toBe("refused");
});

describe("a jinja template", () => {
  beforeAll(loadJinja);

  it("is run as its library's own templates are", () => {
    const template = "{% for item in items %}\n- {{ item.name | upper }}\n{% endfor %}\nEnd.\n";
    const items = [{ name: "a" }, { name: "b" }];
    expect(render(template, { items })).toBe("- A\n- B\nEnd.");
    expect(render("{{ items | first }}|{{ none }}", { items: [] })).toBe("|");
  });

  it("takes values as data", () => {
    const text = "{{ secret }}{% if x %}$&{# c #}\\n";
    expect(render("<{{ x }}>", { x: text, secret: "s" })).toBe(`<${text}>`);
    expect(render("{{ x.constructor }}{{ x['__proto__'] }}{{ ''.constructor }}", { x: {} })).toBe(
      "",
    );
    expect(render("{{ f.constructor.constructor }}{{ range.constructor }}", { f: "f" })).toBe("");
    const own = JSON.parse('{"constructor": "a", "range": "b", "namespace": "c"}');
    expect(render("{{ constructor }}{{ range(2) }}", own)).toBe("a[0, 1]");
    expect(render("{{ x[0] }}", { x: "😀" })).toBe("\ufffd");
  });

  it.each([
    ["{{ a }} {{ b.c }} {{ a }} {{ d[e] }}", ["a", "b", "d", "e"]],
    ["{{ a and b or not c in d }}", ["a", "b", "c", "d"]],
    ["{{ f(x, k=y) }}{{ s | join(sep) }}{{ s is string }}", ["f", "x", "y", "s", "sep"]],
    [
      "{% for i in items if i.ok and ok %}{{ loop.index }}{{ i }}{% else %}{{ z }}{% endfor %}{{ i }}",
      ["items", "ok", "z", "i"],
    ],
    ["{% for k, v in o.items() %}{{ k }}{{ v }}{% endfor %}", ["o"]],
    [
      "{{ x }}{% set x = y %}{{ x }}{% set ns = namespace(n=0) %}{% set ns.n = z %}",
      ["x", "y", "z"],
    ],
    [
      "{% if a %}{% set b = 1 %}{% endif %}{{ b }}{% set c %}{{ d }}{% endset %}{{ c }}",
      ["a", "d"],
    ],
    [
      "{% macro m(p, q=r) %}{{ p }}{{ q }}{{ late }}{{ varargs }}{% endmacro %}{% set late = 1 %}{{ m(1) }}",
      ["r"],
    ],
    [
      "{% macro m() %}{{ caller() }}{% endmacro %}{% call(u) m() %}{{ u }}{{ w }}{% endcall %}",
      ["w"],
    ],
    ["{% filter replace(a, 'b') %}{{ c }}{% endfilter %}", ["c", "a"]],
    [
      "{{ [a, {'k': b}, (c, d)] }}{{ l[e:] }}{{ g if h else j }}",
      ["a", "b", "c", "d", "l", "e", "h", "g", "j"],
    ],
    ["{{ True }}{{ none }}{{ range(1) }}{{ raise_exception }}", []],
    ["{% if a is defined %}{{ a }}{% endif %}{{ b is not undefined }}{{ c | default('') }}", []],
    ["{{ c | default('') }}{{ c }}{{ u.name | default(v) }}", ["c", "u", "v"]],
  ])("needs of %s", (template, names) => {
    expect([...parseBody(body(template)).variables]).toEqual(names);
  });

  it("names all that is missing, or goes without under EMPTY; KEEP is refused", () => {
    const template = "{{ a }}{% if b %}{{ b }}{% endif %}{{ c | default('-') }}";
    const { code, violations } = refusal(() => render(template, { b: null }));
    expect(code).toBe("invalid");
    expect(violations.map(({ field }) => field)).toEqual(["variables.a", "variables.b"]);
    expect(render(template, {}, "empty")).toBe("-");
    const loops =
      "{% for x in a %}{{ x }}{% endfor %}{% for x in b if x %}{% else %}none{% endfor %}";
    expect(render(loops, {}, "empty")).toBe("none");
    expect(render(template, { a: 1, b: false })).toBe("1-");
    const kept = refusal(() => render("{{ a }}", { a: "x" }, "keep"));
    expect(kept.violations.map(({ field }) => field)).toEqual(["missing_variables"]);
  });

  it.each([
    ["{{ a", "Unexpected end of input"],
    ["{% if a %}", "it ends inside of a tag"],
    ["{% include 'other' %}", "Unknown statement type: include"],
    [`{{ ${"(".repeat(100_000)} }}`, "it goes too deep"],
    [`a${" ".repeat(1001)}b`, "white space"],
    [`{{ a${"+a".repeat(100_000)} }}`, "it goes too deep"],
  ])("that is none is refused: %#", (template, why) => {
    const { code, message } = refusal(() => parseBody(body(template)));
    expect([code, message]).toEqual(["invalid", expect.stringContaining(why)]);
  });

  it.each([
    ["{% for x in v %}{% endfor %}", "got StringValue"],
    ["{{ v | nope }}", "Unknown StringValue filter: nope"],
    ["{{ v() }}", "not a function"],
    ["{{ raise_exception(v) }}", "the template raised an exception"],
    ["{% macro m() %}{% endmacro %}{{ m(**{v: 1}) }}", "macro …"],
    ["{% break %}", "it breaks off"],
  ])("that does not fit its values tells no value: %s", (template, why) => {
    const { code, message, cause } = refusal(() => render(template, { v: "a secret 'value'" }));
    expect([code, message]).toEqual(["refused", expect.stringContaining(why)]);
    expect(message).not.toContain("secret");
    expect(cause).toBeUndefined();
  });

  const growing = (start: string, step: string) =>
    `{% set n = namespace(x=${start}) %}{% for i in range(99) %}{% set n.x = ${step} %}{% endfor %}`;

  it.each([
    ["a range", "{% for i in range(10**9) %}x{% endfor %}", "range() makes at most"],
    ["a range without end", "{{ range(1, 2, 0) }}", "range() makes at most"],
    ["no numbers", "{{ range('a') }}", "range() takes whole numbers"],
    [
      "nested loops",
      "{% for i in range(99999) %}{% for j in range(99999) %}{{ j }}{% endfor %}{% endfor %}",
      "it takes longer than",
    ],
    ["empty loops", "{% for i in v %}{% for j in v %}{% endfor %}{% endfor %}", "longer than"],
    [
      "macros that double",
      "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(64) }}",
      "it takes longer than",
    ],
    ["lists that double", growing("[1]", "n.x + n.x"), "too much text"],
    ["texts that double", growing("'ab'", "n.x ~ n.x"), "too much text"],
    ["copies", "{% for i in v %}{{ t.upper() }}{% endfor %}", "too much text"],
    ["repetition", "{% for i in v %}{{ t }}{% endfor %}", "too long a text"],
    ["an indent", "{{ t | indent(10**8, true) }}", "too much text"],
  ])("that takes too much ends: %s", (_, template, why) => {
    const variables = { v: Array(20_000).fill(1), t: "x".repeat(1_000_000) };
    const { code, message } = refusal(() => render(template, variables));
    expect([code, message]).toEqual(["refused", expect.stringContaining(why)]);
  });

  it("puts out as much as any other, and no more", () => {
    const text = "é".repeat(1024 * 1024);
    expect(render("{{ t }}{{ t[:524288] }}", { t: text })).toHaveLength(1.5 * 1024 * 1024);
    expect(refusal(() => render("{{ t }}{{ t }}", { t: text })).code).toBe("invalid");
  });
});
