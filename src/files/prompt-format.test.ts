import { describe, expect, it } from "vitest";
import { chat, message } from "../../test/support/bodies.ts";
import type { PromptBody } from "../core/prompt.ts";
import { readPrompt } from "./prompt-format.ts";

const text = (template: string): PromptBody => ({
  type: "text",
  format: "mustache",
  template,
  config: {},
});

describe("readPrompt", () => {
  it("reads front matter and body", () => {
    const file = [
      "---",
      "# what it is for",
      "format: fstring",
      "config: {temperature: 0.5, since: 2024-01-01, 1: one, none: ~, hex: 0x10}",
      "labels: [production, staging]",
      "tags: []",
      "commit_message: Be kinder",
      "variables: [name]",
      "tests: [{variables: {name: Ada}}]",
      "---",
      "Hi {name}",
      "---",
      "",
    ].join("\n");
    expect(readPrompt(file)).toEqual({
      body: {
        type: "text",
        format: "fstring",
        template: "Hi {name}\n---\n",
        config: { temperature: 0.5, since: "2024-01-01", 1: "one", none: null, hex: 16 },
      },
      labels: ["production", "staging"],
      tags: [],
      commitMessage: "Be kinder",
      variables: ["name"],
      tests: [{ variables: { name: "Ada" } }],
    });
  });

  it("reads a file without front matter as a text", () => {
    expect(readPrompt("\ufeffHi\n").body).toEqual(text("\ufeffHi\n"));
    expect(readPrompt("").body).toEqual(text(""));
  });

  it("reads front matter of any editor", () => {
    const file =
      '\ufeff---\r\ntype: chat\r\n---\r\n{{role "user"}}\r\nHi\r\nyou\r\n\r\n{{ placeholder  "h" }} \r\n';
    expect(readPrompt(file).body).toEqual(
      chat(message("user", "Hi\r\nyou\r\n"), { type: "placeholder", name: "h" }),
    );
  });

  it("takes one line break off the end of a content", () => {
    const file =
      '---\ntype: chat\n---\n\n{{role "system"}}\n{{role "user"}}\n\nHi\r\n\n{{role "user"}}\nBye';
    expect(readPrompt(file).body).toEqual(
      chat(message("system", ""), message("user", "\nHi\r\n"), message("user", "Bye")),
    );
  });

  const chatFile = (...lines: string[]) => ["---", "type: chat", "---", ...lines, ""].join("\n");

  it.each([
    ["no end", "---\ntype: chat\n", "line 1: the front matter has no end"],
    [
      "a Dotprompt key",
      "---\ntype: text\nmodel: gpt\n---\n",
      'line 3: unknown key "model": put it under config',
    ],
    [
      "an unknown key",
      "---\ntyp: text\n---\n",
      'line 2: unknown key "typ": expected one of type, format, config, variables, labels, tags, commit_message, tests',
    ],
    ["a wrong type", "---\ntype: image\n---\n", "line 2: type: expected text or chat"],
    ["a wrong list", "---\ntags: a\n---\n", "line 2: tags: expected a list of tags"],
    ["a wrong item", "---\ntags:\n- a\n- 1\n---\n", "line 4: tags[1]:"],
    [
      "variables that are no list",
      "---\nvariables: name\n---\n",
      "line 2: variables: expected a list of variables",
    ],
    ["tests that are no list", "---\ntests: {}\n---\n", "line 2: tests: expected a list of tests"],
    [
      "a test that JSON cannot hold",
      "---\ntests: [.nan]\n---\n",
      "line 2: tests: must not hold NaN or infinity",
    ],
    [
      "not a number",
      "---\n\nconfig: {a: [.nan]}\n---\n",
      "line 3: config: must not hold NaN or infinity",
    ],
    ["infinity", "---\nconfig: -.inf\n---\n", "must not hold NaN or infinity"],
    [
      "a tag",
      "---\ntype: text\nconfig: !!js/function x\n---\n",
      "line 3: not the YAML expected: Unresolved tag",
    ],
    ["a time", "---\nconfig: !!timestamp 2024-01-01\n---\n", "Unresolved tag"],
    ["a key that is no text", "---\nconfig: {[a]: b}\n---\n", "line 2: not the YAML expected"],
    [
      "a key twice",
      "---\ntype: text\ntype: chat\n---\n",
      "line 3: not the YAML expected: Map keys must be unique",
    ],
    ["broken YAML", "---\nconfig: {a\n---\n", "not the YAML expected"],
    ["two documents", "---\ntype: text\n...\nformat: fstring\n---\n", "not the YAML expected"],
    ["a list", "---\n- a\n---\n", "line 2: expected keys and values"],
    ["an alias to nowhere", "---\nconfig: *x\n---\n", "Unresolved alias"],
    [
      "an alias bomb",
      `---\nconfig:\n  a: &a [${"x, ".repeat(9)}]\n${[..."bcdefgh"].map((k, i) => `  ${k}: &${k} [${`*${"abcdefg"[i]}, `.repeat(9)}]\n`).join("")}---\n`,
      "Excessive alias count",
    ],
    ["deep nesting", `---\nconfig: ${"[".repeat(40)}${"]".repeat(40)}\n---\n`, "levels of nesting"],
    [
      "nesting that overflows the parser's stack, and ended the process",
      `---\nconfig: ${"[".repeat(20_000)}${"]".repeat(20_000)}\n---\n`,
      "line 2: not the YAML expected: more than 100 levels of nesting",
    ],
    [
      "keys of keys that overflow it before there is a tree",
      `---\nconfig: ${"? ".repeat(20_000)}\n---\n`,
      "line 2: not the YAML expected: more than 100 levels of nesting",
    ],
    [
      "as many aliases as took minutes to follow",
      `---\nconfig: [${"&a 1, *a, ".repeat(100_000)}]\n---\n`,
      "line 2: not the YAML expected: more than 100 aliases",
    ],
    [
      "a chat without its type",
      '---\nconfig: {}\n---\nHi\n{{role "user"}}\n',
      "line 5: a marker of a chat: expected `type: chat`",
    ],
    ["a chat without front matter", '{{role "user"}}\nHi', "line 1: a marker of a chat"],
    [
      "text before the first marker",
      chatFile("", "Hi", '{{role "user"}}'),
      "line 5: this text belongs to no message",
    ],
    [
      "text behind a placeholder",
      chatFile('{{placeholder "h"}}', "", "Hi"),
      "line 6: this text belongs to no message",
    ],
    [
      "a marker with text beside it",
      chatFile('{{role "user"}}', 'Hi {{role "user"}}'),
      "line 5: a marker stands alone on its line",
    ],
    [
      "a marker in single quotes",
      chatFile("{{role 'user'}}", "Hi"),
      "line 4: a marker stands alone",
    ],
    ["no message", chatFile(), "the chat has no message"],
  ])("refuses %s", (_, file, message) => {
    expect(() => readPrompt(file)).toThrow(message);
    expect(() => readPrompt(file)).toThrow(expect.objectContaining({ code: "invalid" }));
  });

  it("reads as many keys as took minutes to compare", () => {
    const keys = Array.from({ length: 100_000 }, (_, index) => `  k${index}: 1\n`);
    const { config } = readPrompt(`---\nconfig:\n${keys.join("")}---\n`).body;
    expect(Object.keys(config as object)).toHaveLength(100_000);
  });

  it("keeps a marker in what says that it is a text", () => {
    const file = '---\ntype: text\n---\n{{role "user"}}\n';
    expect(readPrompt(file).body).toEqual(text('{{role "user"}}\n'));
  });
});
