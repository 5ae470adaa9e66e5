import { describe, expect, it } from "vitest";
import { chat, message } from "../../test/support/bodies.ts";
import { readJson } from "./json-format.ts";

describe("readJson", () => {
  it("reads a list of messages as a chat", () => {
    const file =
      '\ufeff[{"role":"user","content":"Hi"},{"type":"placeholder","name":"h"},{"type":"chatmessage","role":"a","content":""}]';
    expect(readJson(file).body).toEqual(
      chat(message("user", "Hi"), { type: "placeholder", name: "h" }, message("a", "")),
    );
  });

  it("reads an object", () => {
    const file = {
      template: "Hi",
      format: "fstring",
      config: null,
      variables: ["name"],
      labels: [],
      tags: ["a"],
      commit_message: "",
      tests: ["any", { thing: 1 }],
    };
    expect(readJson(JSON.stringify(file))).toEqual({
      body: { type: "text", format: "fstring", template: "Hi", config: null },
      variables: ["name"],
      labels: [],
      tags: ["a"],
      commitMessage: "",
      tests: ["any", { thing: 1 }],
    });
  });

  it.each([
    ["broken JSON", "{", "not JSON: "],
    ["a text that is not quoted, without quoting it", "Sing", /^not JSON: Unexpected token 'S'$/],
    ["a wrong word, without quoting", '["Sing", of\n]', /^not JSON: Unexpected token 'o'$/],
    ["a text", '"Hi"', "expected a list of messages, or an object with a key template"],
    ["no template", "{}", "expected a list of messages, or an object with a key template"],
    ["an unknown key", '{"template": "", "labels_": []}', 'unknown key "labels_": expected one of'],
    [
      "a config that would be lost on its way",
      '{"template": "", "config": {"a": [{"__proto__": 1}]}}',
      "config: must not hold the key __proto__",
    ],
    ["a Dotprompt key", '{"template": "", "model": ""}', "put it under config"],
    [
      "a type that is not the template's",
      '{"type": "chat", "template": ""}',
      "template: expected a list of messages beside type chat",
    ],
    [
      "a template that is neither",
      '{"template": 1}',
      "template: expected a text, or a list of messages",
    ],
    ["a message without content", '[{"role": "user"}]', "template[0].content: "],
    ["an unknown item", '[{"type": "tool"}]', "template[0].type: expected placeholder, or no type"],
    [
      "an unknown key of a message",
      '[{"role": "a", "content": "", "name": "x"}]',
      'template[0]: Unrecognized key: "name"',
    ],
    [
      "a number that JSON.parse makes infinite",
      '{"template": "", "config": 1e999}',
      "config: must not hold NaN or infinity",
    ],
    [
      "a broken surrogate",
      '{"template": "", "config": "\\ud800"}',
      "config: must not hold a broken surrogate",
    ],
    [
      "a template with one",
      '{"template": "\\ud800"}',
      "template: must not hold a broken surrogate",
    ],
    [
      "a message with one",
      '[{"role": "a", "content": "\\udc00"}]',
      "template[0].content: must not",
    ],
    ["a tag with one", '{"template": "", "tags": ["\\ud800"]}', "tags[0]: must not hold"],
  ])("refuses %s", (_, file, message) => {
    expect(() => readJson(file)).toThrow(message);
  });
});
