import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChatItem, JsonValue, PromptBody } from "../../core/prompt.ts";
import { bodyOf, manifestOf } from "./manifest.ts";

/** As LangChain's Python writes a class, and as its JavaScript does. */
const made = (name: string, kwargs: object, module = "chat") => ({
  lc: 1,
  type: "constructor",
  id: ["langchain", "prompts", module, name],
  kwargs,
});

const leaf = (template: string, more: object = {}) =>
  made("PromptTemplate", { template, input_variables: [], ...more }, "prompt");

const chat = (...messages: object[]) =>
  made("ChatPromptTemplate", { messages, input_variables: [] });

const human = (prompt: unknown, more: object = {}) =>
  made("HumanMessagePromptTemplate", { prompt, ...more });

const text = (template: string, format: PromptBody["format"] = "fstring"): PromptBody => ({
  type: "text",
  format,
  template,
  config: {},
});

const chatBody = (template: ChatItem[], format: PromptBody["format"] = "fstring"): PromptBody => ({
  type: "chat",
  format,
  template,
  config: {},
});

const says = (role: string, content: string): ChatItem => ({ type: "chatmessage", role, content });

describe("a manifest", () => {
  it("of a text is read in its format", () => {
    expect(bodyOf(leaf("Hi {name}", { template_format: "f-string" }))).toEqual(text("Hi {name}"));
    expect(bodyOf(leaf("Hi {{name}}", { template_format: "mustache" }))).toEqual(
      text("Hi {{name}}", "mustache"),
    );
    expect(bodyOf(leaf("{{{{literal}}}}"))).toEqual(text("{{{{literal}}}}"));
  });

  it("of a chat is read with its roles and placeholders", () => {
    const manifest = chat(
      made("SystemMessagePromptTemplate", { prompt: leaf("You are {who}") }),
      made("MessagesPlaceholder", { variable_name: "history", optional: false }),
      human(leaf("{question}"), { additional_kwargs: {} }),
      made("AIMessagePromptTemplate", { prompt: leaf("Hm") }),
      made("ChatMessagePromptTemplate", { role: "critic", prompt: leaf("No") }),
    );
    expect(bodyOf(manifest)).toEqual(
      chatBody([
        says("system", "You are {who}"),
        { type: "placeholder", name: "history" },
        says("user", "{question}"),
        says("assistant", "Hm"),
        says("critic", "No"),
      ]),
    );
  });

  it("of LangChain's JavaScript is read too", () => {
    const manifest = {
      lc: 1,
      type: "constructor",
      id: ["langchain_core", "prompts", "chat", "ChatPromptTemplate"],
      kwargs: { input_variables: [], prompt_messages: [human(leaf("Hi"))] },
    };
    expect(bodyOf(manifest)).toEqual(chatBody([says("user", "Hi")]));
  });

  it("may hold messages that are no templates", () => {
    const fixed = { ...made("SystemMessage", { content: "Be brief" }), id: ["a", "SystemMessage"] };
    const manifest = chat(fixed, human(leaf("{{q}}", { template_format: "mustache" })));
    expect(bodyOf(manifest)).toEqual(
      chatBody([says("system", "Be brief"), says("user", "{{q}}")], "mustache"),
    );
  });

  it.each(["PromptPlayground", "RunnableSequence"])("may be wrapped in a %s", (wrapper) => {
    const last = made("ChatOpenAI", { model: "m", temperature: 0 }, "models");
    expect(bodyOf(made(wrapper, { first: leaf("Hi"), last }))).toEqual(text("Hi"));
  });

  it.each<[what: string, manifest: unknown, why: string]>([
    ["nothing", null, "no serialized object"],
    ["a secret", { lc: 1, type: "secret", id: ["KEY"] }, "no serialized object"],
    ["a class it does not know", made("FewShotPromptTemplate", {}), "FewShotPromptTemplate"],
    ["an output schema", made("StructuredPrompt", { messages: [] }), "output schema"],
    ["jinja", leaf("x", { template_format: "jinja2" }), "format jinja2"],
    ["a format spec", leaf("{x:>10}"), "line 1, column 1"],
    ["an attribute", chat(human(leaf("{x.y}"))), "chat.items[0]"],
    ["a lonely brace", leaf("{"), "without its }"],
    ["values filled in", leaf("{x}", { partial_variables: { x: "1" } }), "partial_variables"],
    ["parts of content", chat(human([leaf("a"), leaf("b")])), "several parts"],
    ["an image", chat(human(made("ImagePromptTemplate", {}))), "ImagePromptTemplate"],
    ["a tool's message", chat(made("ToolMessage", { content: "x" })), "ToolMessage"],
    ["tool calls", chat(made("AIMessage", { content: "x", tool_calls: [{}] })), "tool_calls"],
    ["parts of a message", chat(made("AIMessage", { content: [] })), "no text"],
    ["braces in no template", chat(made("HumanMessage", { content: "{x}" })), "has braces"],
    [
      "several formats",
      chat(human(leaf("{x}")), human(leaf("{{x}}", { template_format: "mustache" }))),
      "several formats",
    ],
    [
      "a placeholder that may be left out",
      chat(made("MessagesPlaceholder", { variable_name: "h", optional: true })),
      "optional",
    ],
    [
      "tools of the model",
      made("RunnableSequence", {
        first: leaf("x"),
        last: made("RunnableBinding", { bound: {}, kwargs: { tools: [{}] } }),
      }),
      "tools",
    ],
    ["more steps", made("RunnableSequence", { first: leaf("x"), middle: [{}] }), "sequence"],
  ])("with %s is refused", (_, manifest, why) => {
    expect(() => bodyOf(manifest)).toThrow(expect.objectContaining({ code: "refused" }));
    expect(() => bodyOf(manifest)).toThrow(why);
  });
});

describe("a body", () => {
  it("becomes what LangChain loads", () => {
    expect(manifestOf(text("Hi {name}"))).toEqual({
      lc: 1,
      type: "constructor",
      id: ["langchain", "prompts", "prompt", "PromptTemplate"],
      kwargs: { input_variables: ["name"], template_format: "f-string", template: "Hi {name}" },
    });
    const items = [says("system", "{{a.b}} {{#list}}"), says("bot", "x")];
    const placeholder: ChatItem = { type: "placeholder", name: "history" };
    const manifest = manifestOf(chatBody([...items, placeholder], "mustache")) as {
      kwargs: { messages: { id: string[]; kwargs: Record<string, unknown> }[] };
    };
    expect(manifest.kwargs).toMatchObject({ input_variables: ["a", "list", "history"] });
    expect(manifest.kwargs.messages.map(({ id }) => id.at(-1))).toEqual([
      "SystemMessagePromptTemplate",
      "ChatMessagePromptTemplate",
      "MessagesPlaceholder",
    ]);
    expect(manifest.kwargs.messages[1]?.kwargs).toMatchObject({
      role: "bot",
      prompt: { kwargs: { template_format: "mustache", input_variables: [] } },
    });
  });

  it.each<[what: string, body: PromptBody, why: string]>([
    ["a config", { ...text("x"), config: { model: "m" } }, "a config has no place"],
    ["a scalar config", { ...text("x"), config: 0 }, "a config has no place"],
    ["jinja", text("x", "jinja"), "jinja"],
    [
      "no message",
      chatBody([{ type: "placeholder", name: "h" }], "mustache"),
      "placeholders alone",
    ],
  ])("with %s is refused", (_, body, why) => {
    expect(() => manifestOf(body)).toThrow(expect.objectContaining({ code: "refused" }));
    expect(() => manifestOf(body)).toThrow(why);
  });

  it("comes back as it was", () => {
    const role = fc.constantFrom("system", "user", "assistant", "human", "ai", "critic", "Human");
    const content = fc.array(fc.constantFrom("{{a}}", "{{#b}}", "{{ c d }}", "x", "\n", '"', "🙂"));
    const item = fc
      .tuple(role, content)
      .map(([each, pieces]) => says(each, pieces.join("")) as ChatItem);
    const placeholder = fc.constant<ChatItem>({ type: "placeholder", name: "history" });
    const template = fc.tuple(item, fc.array(fc.oneof(item, placeholder), { maxLength: 4 }));
    const format = fc.constantFrom("mustache" as const, "fstring" as const);
    fc.assert(
      fc.property(template, format, ([first, others], each) => {
        const whole = chatBody([first, ...others], each);
        const part = text(first.type === "chatmessage" ? first.content : "", each);
        for (const body of [whole, part]) {
          expect(bodyOf(JSON.parse(JSON.stringify(manifestOf(body))) as JsonValue)).toEqual(body);
        }
      }),
    );
  });
});
