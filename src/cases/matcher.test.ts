import { describe, expect, it } from "vitest";
import type { Compiled } from "../core/template/compile.ts";
import type { Matcher } from "../files/test-case.ts";
import { mismatch } from "./matcher.ts";

const text = (text: string): Compiled => ({ type: "text", text });
const CHAT: Compiled = {
  type: "chat",
  messages: [
    { role: "system", content: "Be\nkind" },
    { role: "user", content: '{"a": [1, null]}' },
  ],
};

describe("a matcher", () => {
  it.each<[Matcher, Compiled, string | undefined]>([
    [{ contains: "b" }, text("abc"), undefined],
    [{ contains: "B" }, text("abc"), 'expected "B" in the text, found "abc"'],
    [{ not_contains: "B" }, text("abc"), undefined],
    [{ not_contains: "b" }, text("abc"), 'expected no "b" in the text, found "abc"'],
    [{ matches: "^b$" }, text("a\nb\nc"), undefined],
    [{ matches: "^.$" }, text("\u{1f600}"), undefined],
    [{ matches: "^b" }, text("abc"), 'expected a match of /^b/, found "abc"'],
    [{ not_matches: "^b" }, text("abc"), undefined],
    [{ not_matches: "B|b" }, text("abc"), 'expected no match of /B|b/, found "abc"'],
    [{ length: { min: 1, max: 1 } }, text("\u{1f600}"), undefined],
    [{ length: { max: 2 } }, text("abc"), "expected at most 2 characters, found 3"],
    [
      { length: { min: 4, max: 5 } },
      text("abc"),
      "expected at least 4 and at most 5 characters, found 3",
    ],
    [{ json_path: "$.a[1]", equals: null }, text('{"a": [1, null]}'), undefined],
    [{ json_path: "$.a", equals: [1, 2] }, text('{"a": [1, 2]}'), undefined],
    [
      { json_path: "$.a", equals: [2, 1] },
      text('{"a": [1, 2]}'),
      "expected [2,1] at $.a, found [1,2]",
    ],
    [{ json_path: "$.b", equals: 1 }, text("{}"), "expected 1 at $.b, found no values"],
    [{ json_path: "$[*]", equals: 1 }, text("[1, 1]"), "expected 1 at $[*], found 2 values"],
    [{ json_path: "$[?@.a == 1]", exists: true }, text('[{"a": 1}]'), undefined],
    [{ json_path: "$.b", exists: true }, text("{}"), "expected something at $.b, found nothing"],
    [{ json_path: "$.b", exists: false }, text("{}"), undefined],
    [
      { json_path: "$.b", exists: false },
      text('{"b": null}'),
      "expected nothing at $.b, found null",
    ],
    [{ json_path: "$.b", exists: false }, text("b"), "json_path: not JSON: Unexpected token 'b'"],
  ])("%j of %j", (matcher, found, expected) => {
    expect(mismatch(matcher, found)).toBe(expected);
  });

  it.each<[Matcher, string | undefined]>([
    [{ contains: 'kind\n\n{"a"' }, undefined],
    [{ matches: "^kind$" }, undefined],
    [{ contains: "kind", message: 0 }, undefined],
    [
      { contains: "kind", message: -1 },
      'expected "kind" in the text, found "{\\"a\\": [1, null]}"',
    ],
    [{ contains: "kind", message: 2 }, "contains: expected a message 2, found 2 messages"],
    [{ message: -3, contains: "kind" }, "contains: expected a message -3, found 2 messages"],
    [{ json_path: "$[0].role", equals: "system" }, undefined],
    [{ json_path: "$.a[0]", equals: 1, message: 1 }, undefined],
    [{ json_path: "$", exists: true, message: 0 }, "json_path: not JSON: Unexpected token 'B'"],
  ])("%j of a chat", (matcher, expected) => {
    expect(mismatch(matcher, CHAT)).toBe(expected);
  });

  it("chooses no message of a text", () => {
    expect(mismatch({ contains: "a", message: 0 }, text("a"))).toBe(
      "contains: expected a chat for message 0, found a text",
    );
  });

  it.each<Matcher>([
    { matches: "(a+)+$" },
    { not_matches: "(a+)+$" },
    { json_path: "$[?search(@, '(a+)+b')]", exists: true },
  ])("ends where a pattern runs away: %j", (matcher) => {
    const long = `["${"a".repeat(60)}!"]`;
    expect(mismatch(matcher, text(long))).toContain("took longer than 1 s and was stopped");
    expect(mismatch({ matches: "a" }, text(long))).toBeUndefined();
  });

  it("shows the beginning of what is long", () => {
    expect(mismatch({ contains: "b" }, text("a".repeat(10_000)))?.length).toBeLessThan(200);
  });
});
