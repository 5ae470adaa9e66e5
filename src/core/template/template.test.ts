import { describe, expect, test } from "vitest";
import { PromptdError, type Violation } from "../errors.ts";
import type { ChatItem, PromptBody, TemplateFormat } from "../prompt.ts";
import { parseBody } from "./template.ts";

const message = (content: string): ChatItem => ({ type: "chatmessage", role: "user", content });
const placeholder = (name: string): ChatItem => ({ type: "placeholder", name });

function text(template: string, format: TemplateFormat = "mustache"): PromptBody {
  return { type: "text", format, template, config: {} };
}

function chat(template: ChatItem[], format: TemplateFormat = "mustache"): PromptBody {
  return { type: "chat", format, template, config: {} };
}

function violations(body: PromptBody): readonly Violation[] {
  try {
    parseBody(body);
  } catch (error) {
    expect(error).toBeInstanceOf(PromptdError);
    expect((error as PromptdError).code).toBe("invalid");
    return (error as PromptdError).violations;
  }
  return [];
}

test("a text body is one template", () => {
  expect(parseBody(text("Hi {{name}}"))).toEqual({
    type: "text",
    template: [
      { kind: "text", raw: "Hi ", text: "Hi " },
      { kind: "variable", raw: "{{name}}", name: "name" },
    ],
    variables: new Set(["name"]),
    placeholders: new Set(),
    sections: new Set(),
  });
});

test("a chat body is a template per message, and placeholders by name", () => {
  expect(parseBody(chat([message("{{a}}"), placeholder("history")]))).toEqual({
    type: "chat",
    template: [
      {
        type: "message",
        role: "user",
        content: [{ kind: "variable", raw: "{{a}}", name: "a" }],
      },
      { type: "placeholder", name: "history" },
    ],
    variables: new Set(["a"]),
    placeholders: new Set(["history"]),
    sections: new Set(),
  });
});

test("tags are collected over all messages, each once, in order of first appearance", () => {
  const parsed = parseBody(
    chat([
      message("{{b}} {{a}} {{#s}}"),
      placeholder("z"),
      message("{{a}}{{c}}{{/s}}{{#s}}"),
      placeholder("y"),
    ]),
  );
  expect([...parsed.variables]).toEqual(["b", "a", "c"]);
  expect([...parsed.sections]).toEqual(["{{#s}}", "{{/s}}"]);
  expect([...parsed.placeholders]).toEqual(["z", "y"]);
});

test("a role is no template", () => {
  const parsed = parseBody(chat([{ type: "chatmessage", role: "{{role}}", content: "" }]));
  expect(parsed.variables.size).toBe(0);
});

describe("an fstring that does not parse", () => {
  test("is refused by the field of a text", () => {
    expect(violations(text("{", "fstring"))[0]?.field).toBe("text");
  });

  test("is refused by the field of a message", () => {
    const body = chat([placeholder("h"), message("{ok}"), message("{a.b}")], "fstring");
    expect(violations(body)[0]?.field).toBe("chat.items[2].message.content");
  });
});

describe("a placeholder", () => {
  test.each(["history", "_", "chat-history", "früher1"])("may be called %s", (name) => {
    expect(violations(chat([placeholder(name)]))).toEqual([]);
  });

  test.each(["", "1", "a.b", "a b", " a", "a ", "-a", "{{a}}", "a\n"])(
    "may not be called %j",
    (name) => {
      expect(violations(chat([message(""), placeholder(name)]))).toEqual([
        {
          field: "chat.items[1].placeholder.name",
          description: `a placeholder's name is a letter or _, then letters, digits, _ and -: ${name}`,
        },
      ]);
    },
  );

  test("may not have the name of a variable, wherever that stands", () => {
    const description = "variables and placeholders must have different names: v";
    const field = "chat.items[0].placeholder.name";
    expect(violations(chat([placeholder("v"), message("{{v}}")]))).toEqual([
      { field, description },
    ]);
    expect(violations(chat([placeholder("v"), message("{v}")], "fstring"))).toEqual([
      { field, description },
    ]);
  });

  test("may stand in two places", () => {
    const parsed = parseBody(chat([placeholder("h"), message(""), placeholder("h")]));
    expect([...parsed.placeholders]).toEqual(["h"]);
  });

  test("all that is wrong with them is told at once", () => {
    const items = [placeholder("1"), placeholder("v"), message("{{v}}"), placeholder("v")];
    expect(violations(chat(items)).map(({ field }) => field)).toEqual([
      "chat.items[0].placeholder.name",
      "chat.items[1].placeholder.name",
      "chat.items[3].placeholder.name",
    ]);
  });
});
