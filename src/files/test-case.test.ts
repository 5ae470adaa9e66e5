import { describe, expect, it } from "vitest";
import type { JsonValue } from "../core/prompt.ts";
import type { Places } from "./places.ts";
import { readCases } from "./test-case.ts";

/** Each key on its own line, in the order in which it is asked for. */
const asked: PropertyKey[][] = [];
const places: Places = {
  ofKey: (...path) => ({ line: asked.push(path) }),
  ofItem: () => ({ line: 1 }),
  inItem: () => ({ line: 1 }),
};

/** The problem of each case, and where it stands. */
function problemsOf(...tests: JsonValue[]): (string | undefined)[] {
  return readCases(tests, places).map((read) => {
    if ("testCase" in read) return undefined;
    return `${asked[read.place.line - 1]?.slice(2).join(".")} ${read.problem}`;
  });
}

const withMatcher = (matcher: JsonValue) => ({ name: "a", expect: [matcher] });

describe("a test case", () => {
  it.each<[string, JsonValue]>([
    ["a whole text", { name: "a", expect: "" }],
    ["a whole chat", { name: "a", expect: [{ role: "user", content: "" }] }],
    ["a snapshot", { name: "a", snapshot: true }],
    ["an error", { name: "a", error: "variables.name" }],
    ["an answer", { name: "a", answer: [{ contains: "x" }] }],
    [
      "all at once",
      {
        name: "a",
        variables: { a: { b: [null] } },
        placeholders: { history: [] },
        expect: [{ contains: "x", message: -1 }],
        snapshot: true,
        answer: [{ json_path: "$.a", equals: null }],
      },
    ],
  ])("has %s", (_, test) => {
    expect(problemsOf(test)).toEqual([undefined]);
  });

  it.each<[JsonValue, string]>([
    ["x", " expected keys and values"],
    [{ name: "a" }, " expected one of expect, snapshot, error and answer"],
    [{ name: "a", snapshot: false }, " expected one of expect, snapshot, error and answer"],
    [{ expect: "x" }, "name name: expected a text"],
    [{ name: "", expect: "x" }, "name name: expected a text that is not empty"],
    [{ name: "a\nb", expect: "x" }, "name name: expected one line"],
    [{ name: "a", expects: "x" }, 'expects unknown key "expects": expected one of name, '],
    [{ name: "a", variables: ["x"], expect: "x" }, "variables variables: expected names and "],
    [{ name: "a", placeholders: { h: "x" }, expect: "x" }, "placeholders.h placeholders.h: "],
    [
      { name: "a", placeholders: { h: [{ role: "", content: "" }] }, expect: "x" },
      "placeholders.h placeholders.h.messages[0].role: ",
    ],
    [{ name: "a", expect: [] }, "expect expect: expected at least one"],
    [{ name: "a", expect: 5 }, "expect expect: expected a list, such as - contains: TEXT"],
    [{ name: "a", expect: [{ role: "user" }] }, "expect.0.content expect[0].content: expected a "],
    [{ name: "a", answer: "x" }, "answer answer: expected a list, such as "],
    [{ name: "a", error: "x", snapshot: true }, "error error: expected without expect, snapshot "],
    [withMatcher({}), "expect.0 expect[0]: expected one of contains, not_contains, matches, "],
    [withMatcher({ contains: "a", length: { min: 1 } }), "expect.0 expect[0]: expected one of "],
    [withMatcher({ contains: "" }), "expect.0.contains expect[0].contains: expected a text that "],
    [withMatcher({ contains: 5 }), "expect.0.contains expect[0].contains: expected a text"],
    [withMatcher({ matches: "(" }), "expect.0.matches expect[0].matches: expected a regular "],
    [withMatcher({ json_path: "a", exists: true }), "expect.0.json_path expect[0].json_path: "],
    [withMatcher({ json_path: "$.a" }), "expect.0 expect[0]: expected one of equals and exists "],
    [
      withMatcher({ json_path: "$.a", equals: 1, exists: true }),
      "expect.0 expect[0]: expected one of equals and exists ",
    ],
    [withMatcher({ contains: "a", equals: "a" }), "expect.0 expect[0]: expected one of equals "],
    [withMatcher({ length: {} }), "expect.0.length expect[0].length: expected min, max or both"],
    [
      withMatcher({ length: { min: 2, max: 1 } }),
      "expect.0.length expect[0].length: expected a min",
    ],
    [withMatcher({ contains: "a", message: 1.5 }), "expect.0.message expect[0].message: expected "],
  ])("is not %j", (test, problem) => {
    expect(problemsOf(test)[0]).toMatch(new RegExp(`^${problem.replace(/[[\]$().]/g, "\\$&")}`));
  });

  it("has a name of its own, and stops no other", () => {
    const good = { name: "a", expect: "x" };
    expect(problemsOf(good, 1, good, { ...good, name: "b" })).toEqual([
      undefined,
      " expected keys and values",
      "name name: expected one that no case above has",
      undefined,
    ]);
  });
});
