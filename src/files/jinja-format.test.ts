import { describe, expect, it } from "vitest";
import { readJinja } from "./jinja-format.ts";

describe("readJinja", () => {
  it("takes a file as it is, and front matter off it", () => {
    const template = "\ufeffHi {{ name }}\n---\n";
    const body = { type: "text", format: "jinja", template, config: {} };
    expect(readJinja(template)).toEqual({ body });
    const fronted = "---\nconfig: {temperature: 0}\ntags: [a]\n---\nHi {{ name }}\n";
    expect(readJinja(fronted)).toEqual({
      body: { ...body, template: "Hi {{ name }}\n", config: { temperature: 0 } },
      tags: ["a"],
    });
  });

  it.each([
    ["---\nformat: mustache\n---\nHi", "line 2: format: a .j2 file is a text in format jinja"],
    ["---\ntags: []\ntype: chat\n---\nHi", "line 3: type: a .j2 file is a text in format jinja"],
    ["---\nmodel: x\n---\nHi", 'line 2: unknown key "model"'],
    ["---\nHi", "line 1: the front matter has no end"],
  ])("refuses %j", (text, why) => {
    expect(() => readJinja(text)).toThrow(why);
  });
});
