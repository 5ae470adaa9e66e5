import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PromptdError } from "../../core/errors.ts";
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
    [
      "an output schema of the model",
      made("RunnableSequence", {
        first: leaf("x"),
        last: made("RunnableBinding", { bound: {}, kwargs: { response_format: { type: "json" } } }),
      }),
      "response_format",
    ],
    [
      "an output parser behind it",
      made("RunnableSequence", { first: leaf("x"), last: made("JsonOutputParser", {}) }),
      "output parser",
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

  it("names the variables that LangChain has to be given", () => {
    const { kwargs } = manifestOf(text("{{.}} {{#.}} {{ #list}} {{{a.b}}} {{&c}}", "mustache")) as {
      kwargs: object;
    };
    expect(kwargs).toMatchObject({ input_variables: ["a", "c", "list"] });
  });

  it("comes back as it was, or is refused", () => {
    const names = ["__proto__", "constructor", "größe", "human", "Human", "assistant", "user", ""];
    const tags = [
      ...["{", "}", "{{", "}}", "{x}", "{{x}}", "{x!r}", "{x:>3}", "{a.b}", "{0}", "{größe}"],
      ...["{{{x}}}", "{{&x}}", "{{a.b}}", "{{.}}", "{{#s}}", "{{^s}}", "{{/s}}", "{{> p}}"],
      ...["{{! c}}", "{{=<% %>=}}", "{{ c d }}", "{__proto__}", "\r\n", "\u0000", '"', "🙂"],
    ];
    const random = fc.string({ unit: "binary", maxLength: 5 });
    const pieces = fc.array(fc.oneof(fc.constantFrom(...tags), random), { maxLength: 8 });
    const content = pieces.map((all) => all.join(""));
    const word = fc.oneof(fc.constantFrom(...names), random);
    const item = fc.oneof<fc.Arbitrary<ChatItem>[]>(
      fc.tuple(word, content).map(([role, each]) => says(role, each)),
      word.map((name) => ({ type: "placeholder", name })),
    );
    const format = fc.constantFrom("mustache" as const, "fstring" as const);
    const body = fc
      .tuple(fc.oneof(content, fc.array(item, { maxLength: 5 })), format)
      .map(([template, each]) =>
        typeof template === "string" ? text(template, each) : chatBody(template, each),
      );
    let kept = 0;
    const property = fc.property(body, (each) => {
      let manifest: JsonValue;
      try {
        manifest = manifestOf(each);
      } catch (thrown) {
        expect(["refused", "invalid"]).toContain((thrown as PromptdError).code);
        return;
      }
      kept += 1;
      expect(bodyOf(JSON.parse(JSON.stringify(manifest)))).toEqual(each);
    });
    fc.assert(property, { numRuns: 2000 });
    expect(kept).toBeGreaterThan(200);
  });
});
