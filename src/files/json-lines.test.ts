import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { endOfJson, jsonLines } from "./json-lines.ts";

describe("jsonLines", () => {
  it("tells the line of each value", () => {
    const lineOf = jsonLines('{\n"a": [1,\n{"b\\"\\u0063": "x\\\\",\n"d": true}],\n"e":\nnull}');
    expect(lineOf("a")).toBe(2);
    expect(lineOf("a", 0)).toBe(2);
    expect(lineOf("a", 1)).toBe(3);
    expect(lineOf("a", 1, 'b"c')).toBe(3);
    expect(lineOf("a", "1", "d")).toBe(4);
    expect(lineOf("e")).toBe(6);
  });

  it("tells that of the part which is there", () => {
    const lineOf = jsonLines('{"z": 1,\n"a": {\n"b": 1}}');
    expect(lineOf("a", "c", "d")).toBe(2);
    expect(lineOf("c")).toBe(1);
    expect(lineOf()).toBe(1);
  });

  it("finds every value of any document", () => {
    const document = fc.jsonValue({ maxDepth: 4, stringUnit: "binary" });
    fc.assert(
      fc.property(document, (value) => {
        const text = JSON.stringify(value, null, 1);
        const lines = text.split("\n");
        const lineOf = jsonLines(text);
        const visit = (value: unknown, path: PropertyKey[]) => {
          if (typeof value === "object" && value !== null) {
            for (const [key, child] of Object.entries(value)) visit(child, [...path, key]);
          } else if (path.length > 0) {
            expect(lines[lineOf(...path) - 1]).toContain(JSON.stringify(value));
          }
        };
        visit(value, []);
      }),
    );
  });
});

describe("endOfJson", () => {
  it.each([
    ['{"a": oops}', 6],
    ["[1,]", 3],
    ['["a\nb"]', 3],
    ["[1 2]", 3],
    ["[true, trux]", 10],
    ["{'a': 1}", 1],
    ['["a", ', 5],
    ["", 0],
    ["[1] x", 4],
  ])("of %j is at %i", (text, offset) => {
    expect(endOfJson(text)).toBe(offset);
  });
});
