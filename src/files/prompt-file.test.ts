import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chat, message } from "../../test/support/bodies.ts";
import { body, content } from "../../test/support/prompt-texts.ts";
import { canonicalBody } from "../core/content-hash.ts";
import type { PromptBody } from "../core/prompt.ts";
import { readPromptFile, type StoredPrompt, writePromptFile } from "./prompt-file.ts";

const read = (path: string, text: string | Uint8Array) =>
  readPromptFile(path, typeof text === "string" ? Buffer.from(text) : text);

const stored = (body: PromptBody, beside: Partial<StoredPrompt> = {}): StoredPrompt => ({
  name: "greeting",
  body,
  labels: ["production", "latest"],
  tags: [],
  ...beside,
});

const text = (template: string, config: PromptBody["config"] = {}): PromptBody => ({
  type: "text",
  format: "mustache",
  template,
  config,
});

const prompt: fc.Arbitrary<StoredPrompt> = fc.record({
  name: fc.constantFrom("greeting", "support/v1.2/reply", "größe.md"),
  body,
  labels: fc.oneof(
    fc.constant(["latest", "production"]),
    fc.uniqueArray(fc.constantFrom("production", "staging", "on", "1.0", "-"), { maxLength: 4 }),
  ),
  tags: fc.oneof(fc.constant([]), fc.uniqueArray(content, { maxLength: 3 })),
});

describe("writePromptFile", () => {
  it("writes every prompt so that it reads back the same", () => {
    fc.assert(
      fc.property(prompt, (prompt) => {
        const { path, bytes } = writePromptFile(prompt);
        const file = readPromptFile(path, bytes);
        expect(file.name).toBe(prompt.name);
        expect(canonicalBody(file.body)).toBe(canonicalBody(prompt.body));
        const labels = prompt.labels.filter((label) => label !== "latest");
        expect([...(file.labels ?? ["production"])].sort()).toEqual([...labels].sort());
        expect([...(file.tags ?? [])].sort()).toEqual([...prompt.tags].sort());
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["a template that says it all", stored(text("Hi {{name}}\r\n")), ".md"],
    ["a text like front matter", stored(text("---\ntype: chat\n---\n")), ".md"],
    ["a config", stored(text("Hi", { temperature: 0 })), ".prompt"],
    ["tags", stored(text("Hi"), { tags: ["greeting"] }), ".prompt"],
    ["another label", stored(text("Hi"), { labels: ["production", "staging"] }), ".prompt"],
    ["no label", stored(text("Hi"), { labels: ["latest"] }), ".prompt"],
    ["another format", stored({ ...text("Hi"), format: "fstring" }), ".prompt"],
    ["a chat", stored(chat(message("user", "Hi\n"))), ".prompt"],
    ["a chat with a marker in it", stored(chat(message("user", '{{role "system"}}'))), ".json"],
    ["a role that no marker can hold", stored(chat(message('a "b"', "Hi"))), ".json"],
  ])("writes %s as the plainest file that holds it", (_, prompt, ending) => {
    expect(writePromptFile(prompt).path).toBe(`greeting${ending}`);
  });

  it("writes front matter that a person would", () => {
    const prompt = stored(
      {
        ...chat(message("system", "Be kind."), { type: "placeholder", name: "history" }),
        config: { stop: ["END"] },
      },
      { labels: ["production", "staging"], tags: ["support"] },
    );
    expect(Buffer.from(writePromptFile(prompt).bytes).toString()).toBe(
      [
        "---",
        "type: chat",
        "config:",
        "  stop:",
        "    - END",
        "labels:",
        "  - production",
        "  - staging",
        "tags:",
        "  - support",
        "---",
        '{{role "system"}}',
        "Be kind.",
        '{{placeholder "history"}}',
        "",
      ].join("\n"),
    );
  });

  it.each([
    ["../escape", "starts with a dot"],
    ["a/../b", "starts with a dot"],
    ["./a", "starts with a dot"],
    [".hidden", "starts with a dot"],
    ["/etc/passwd", "a folder or file without a name"],
    ["a\\..\\b", "it holds a backslash"],
    ["a\nb", "it holds a control character"],
    ["x".repeat(201), "has 201 bytes, expected at most 200"],
    ["é".repeat(101), "has 202 bytes, expected at most 200"],
  ])("refuses the name %j", (name, why) => {
    expect(() => writePromptFile(stored(text("Hi"), { name }))).toThrow(why);
  });
});

describe("readPromptFile", () => {
  it("takes .md and .txt as they are", () => {
    const template = "\ufeff---\r\ntype: chat\n---\n{{x}}\u0000";
    expect(read("a.b/c.d.md", template)).toEqual({ name: "a.b/c.d", body: text(template) });
    expect(read("c.txt", template)).toEqual({ name: "c", body: text(template) });
  });

  it.each([
    ["the first byte", Buffer.from([0xff, 0x41]), "byte 0 is not UTF-8 (0xff)"],
    ["behind a real U+FFFD", Buffer.from("é\ufffd\ud83d\ude00\xff", "latin1"), "byte 0 is"],
    [
      "late",
      Buffer.concat([Buffer.from("é\ufffd😀"), Buffer.from([0xc3, 0x28])]),
      "byte 9 is not UTF-8 (0xc3)",
    ],
    ["cut off", Buffer.from("aé").subarray(0, 2), "byte 1 is not UTF-8 (0xc3)"],
  ])("refuses bytes that are not UTF-8: %s", (_, bytes, message) => {
    expect(() => read("a.md", bytes)).toThrow(message);
  });

  it("refuses other endings", () => {
    expect(() => read("a.yaml", "")).toThrow(
      "expected a file that ends in .md, .txt, .prompt, .json",
    );
    expect(() => read("folder/.md", "")).toThrow("expected a file that ends in");
    expect(() => read("a.j2", "")).toThrow("(.j2) are for the fallback folder");
  });
});
