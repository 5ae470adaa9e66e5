import { describe, expect, it } from "vitest";
import { canonicalBody, contentHash } from "../../core/content-hash.ts";
import type { PromptBody } from "../../core/prompt.ts";
import { type CodePrompt, declare } from "./declared.ts";

const one = (prompt: CodePrompt) => declare({ p: prompt })[0];

/** The fields that are wrong. */
function wrong(prompts: Record<string, unknown>): string[] {
  try {
    declare(prompts as Record<string, CodePrompt>);
    return [];
  } catch (thrown) {
    const { code, violations } = thrown as { code: string; violations: { field: string }[] };
    expect(code).toBe("invalid");
    return violations.map(({ field }) => field);
  }
}

describe("prompts of the code", () => {
  it("are what the registry would hold", () => {
    const body: PromptBody = { type: "text", format: "mustache", template: "hi {{x}}", config: {} };
    expect(one("hi {{x}}")).toMatchObject({ body, contentHash: contentHash(canonicalBody(body)) });
    expect(one({ template: "hi {x}", format: "fstring", config: null })?.body).toEqual({
      ...body,
      format: "fstring",
      template: "hi {x}",
    });
    const chat = one({
      type: "chat",
      template: [
        { role: "system", content: "be {{mood}}" },
        { type: "placeholder", name: "history" },
      ],
      config: { model: "m" },
      tags: ["a"],
    });
    expect(chat).toMatchObject({
      tags: ["a"],
      body: {
        type: "chat",
        format: "mustache",
        config: { model: "m" },
        template: [
          { type: "chatmessage", role: "system", content: "be {{mood}}" },
          { type: "placeholder", name: "history" },
        ],
      },
    });
  });

  it("stay what they were when they were registered", () => {
    const config = { temperature: 0 };
    const declared = one({ template: "x", config });
    config.temperature = 1;
    expect(declared?.body.config).toEqual({ temperature: 0 });
  });

  it("are refused all at once, each by its name", () => {
    const fields = wrong({
      fine: "x",
      "a//b": "x",
      braces: { template: "{", format: "fstring" },
      tagged: { template: "x", tags: [""] },
      deep: { type: "chat", template: [{ role: "", content: "x" }] },
      config: { template: "x", config: { n: Number.NaN } },
      included: "@@@langfusePrompt:name=fine|label=production@@@",
    });
    expect(fields).toEqual([
      "a//b: name",
      "braces: text",
      "tagged: tags[0]",
      "deep: chat.items[0].message.role",
      "config: config",
      "included: template",
    ]);
  });

  it("are refused by programs without types too", () => {
    const fields = wrong({
      nothing: {},
      chat: { template: [] },
      text: { type: "chat", template: "x" },
      item: { type: "chat", template: [{ role: "user" }] },
      lines: { type: "chat", template: ["x"] },
      none: { type: "chat", template: [null] },
      jinja: { template: "x", format: "jinja" },
      tag: { template: "x", tags: "a" },
      null: null,
    });
    expect(fields).toEqual([
      "nothing: template",
      "chat: template",
      "text: template",
      "item: template[0]",
      "lines: template[0]",
      "none: template[0]",
      "jinja: format",
      "tag: tags",
      "null: template",
    ]);
  });
});
