/**
 * LangChain's serialized prompts, as LangSmith keeps them, and what they are here.
 * Nothing is half converted: what has no counterpart on the other side is refused.
 */

import { z } from "zod";
import { canonicalJson } from "../../core/content-hash.ts";
import { PromptdError } from "../../core/errors.ts";
import type { ChatItem, JsonValue, PromptBody } from "../../core/prompt.ts";
import { type ParsedBody, parseBody } from "../../core/template/template.ts";

/** LangChain's names of templates' formats. */
const FORMATS = { mustache: "mustache", fstring: "f-string" } as const;

type Format = keyof typeof FORMATS;

/** LangChain's classes of messages, by the role that they stand for; every other role has one class. */
const CLASSES: ReadonlyMap<string, string> = new Map([
  ["system", "SystemMessage"],
  ["user", "HumanMessage"],
  ["assistant", "AIMessage"],
]);
const ROLES = new Map([...CLASSES].map(([role, name]) => [name, role]));

/** What a prompt is wrapped in together with the model that it is sent to. */
const WRAPPERS = new Set(["PromptPlayground", "RunnableSequence"]);

/** What a model may be given beside its settings that makes it answer otherwise than in text. */
const BOUND = ["tools", "functions", "response_format"];

/** More wrappers than anybody puts around a prompt. */
const MAX_WRAPPERS = 4;

const serialized = z.object({
  lc: z.literal(1),
  type: z.literal("constructor"),
  id: z.array(z.string()).min(1),
  kwargs: z.record(z.string(), z.unknown()).default({}),
});

/** A serialized object: its class, and what it is made of. */
interface Made {
  name: string;
  kwargs: Record<string, unknown>;
}

/**
 * The manifest of a body.
 *
 * @throws refused for what LangSmith has no place for: a config, jinja
 */
export function manifestOf(body: PromptBody): JsonValue {
  const { format, config } = body;
  if (format === "jinja") throw refused("templates of format jinja are for fallback files only");
  if (config !== null && canonicalJson(config) !== "{}") {
    throw refused(
      "a config has no place in LangSmith, which keeps a model's settings beside a prompt; leave it empty",
    );
  }
  const parsed = parseBody(body);
  if (body.type === "text") return leafOf(body.template, format, variablesOf(parsed));
  const messages = body.template.map((item) => messageOf(item, format));
  if (format !== "fstring" && body.template.every(({ type }) => type === "placeholder")) {
    throw refused(
      `a chat of placeholders alone cannot be kept as ${format} in LangSmith, where messages tell the format`,
    );
  }
  const input_variables = [...variablesOf(parsed), ...parsed.placeholders];
  return made("chat", "ChatPromptTemplate", { input_variables, messages });
}

/**
 * The body that a manifest holds; a model's settings in it are left aside.
 *
 * @throws refused, telling what has no counterpart here
 */
export function bodyOf(manifest: unknown): PromptBody {
  const { name, kwargs } = unwrapped(manifest);
  switch (name) {
    case "PromptTemplate": {
      const { format, template } = readLeaf({ name, kwargs }, "the prompt");
      return parsable({ type: "text", format, template, config: {} });
    }
    case "ChatPromptTemplate":
      return parsable(readChat(kwargs));
    case "StructuredPrompt":
      throw refused("it has an output schema, which promptd's prompts have not");
    default:
      throw refused(`it is a ${name}, expected a PromptTemplate or a ChatPromptTemplate`);
  }
}

function messageOf(item: ChatItem, format: Format): JsonValue {
  if (item.type === "placeholder") {
    return made("chat", "MessagesPlaceholder", { variable_name: item.name, optional: false });
  }
  const { role, content } = item;
  const text: PromptBody = { type: "text", format, template: content, config: {} };
  const prompt = leafOf(content, format, variablesOf(parseBody(text)));
  const name = CLASSES.get(role);
  return name === undefined
    ? made("chat", "ChatMessagePromptTemplate", { role, prompt })
    : made("chat", `${name}PromptTemplate`, { prompt });
}

function leafOf(template: string, format: Format, input_variables: string[]): JsonValue {
  const template_format = FORMATS[format];
  return made("prompt", "PromptTemplate", { input_variables, template_format, template });
}

function made(module: string, name: string, kwargs: { [key: string]: JsonValue }): JsonValue {
  return { lc: 1, type: "constructor", id: ["langchain", "prompts", module, name], kwargs };
}

/** As LangChain has them: of `a.b` the first part, of a section its name, of `.` nothing. */
function variablesOf({ variables, sections }: ParsedBody): string[] {
  const names = [...sections].flatMap((tag) => /^\{\{\s*[#^]\s*([^\s{}]+)/.exec(tag)?.[1] ?? []);
  const firsts = [...variables, ...names].map((name) => name.split(".")[0] ?? name);
  return [...new Set(firsts)].filter((name) => name !== "");
}

/** The prompt within what it was wrapped in. */
function unwrapped(manifest: unknown): Made {
  let found = read(manifest, "the manifest");
  for (let depth = 0; WRAPPERS.has(found.name); depth++) {
    const { first, middle, last } = found.kwargs;
    if (depth === MAX_WRAPPERS) throw refused("it is wrapped too often");
    if (!isNothing(middle)) throw refused("it is a sequence of more than a prompt and a model");
    const { data: model } = serialized.safeParse(last);
    if (/OutputParser$/.test(model?.id.at(-1) ?? "")) {
      throw refused("it has an output parser, which promptd's prompts have not");
    }
    requireNone(Object(model?.kwargs.kwargs), BOUND, "the model");
    found = read(first, "the manifest");
  }
  return found;
}

function readChat(kwargs: Made["kwargs"]): PromptBody {
  requireNone(kwargs, ["partial_variables", "output_parser"], "the prompt");
  // LangChain's two languages call it differently.
  const messages = kwargs.messages ?? kwargs.prompt_messages;
  if (!Array.isArray(messages)) throw refused("it has no list of messages");
  const items = messages.map((message, index) => readMessage(message, `message ${index + 1}`));
  const formats = [...new Set(items.flatMap(({ format }) => format ?? []))];
  if (formats.length > 1) throw refused("its messages have templates of several formats");
  const template = items.map(({ item }) => item);
  return { type: "chat", format: formats[0] ?? "fstring", template, config: {} };
}

/** A message; its format where it is a template. */
function readMessage(message: unknown, where: string): { item: ChatItem; format?: Format } {
  const { name, kwargs } = read(message, where);
  if (name === "MessagesPlaceholder") {
    requireNone(kwargs, ["optional", "n_messages"], `${where}, a placeholder,`);
    return { item: { type: "placeholder", name: text(kwargs.variable_name, where) } };
  }
  const isTemplate = name.endsWith("PromptTemplate");
  const role = roleOf(isTemplate ? name.slice(0, -"PromptTemplate".length) : name, kwargs);
  if (role === undefined) throw refused(`${where} is a ${name}, which has no counterpart here`);
  requireNone(kwargs, ["additional_kwargs", "tool_calls", "name"], where);
  if (!isTemplate) {
    const content = text(kwargs.content, where);
    // What it says literally might be a tag of the others' format.
    if (/[{}]/.test(content)) throw refused(`${where} is no template and has braces`);
    return { item: { type: "chatmessage", role, content } };
  }
  if (Array.isArray(kwargs.prompt)) throw refused(`${where} has content of several parts`);
  const { format, template } = readLeaf(read(kwargs.prompt, where), where);
  return { item: { type: "chatmessage", role, content: template }, format };
}

function roleOf(name: string, { role }: Made["kwargs"]): string | undefined {
  if (name === "ChatMessage") return typeof role === "string" ? role : undefined;
  return ROLES.get(name);
}

function readLeaf({ name, kwargs }: Made, where: string): { format: Format; template: string } {
  if (name !== "PromptTemplate") throw refused(`${where} has a ${name}, expected a PromptTemplate`);
  requireNone(kwargs, ["partial_variables", "output_parser"], where);
  const called = kwargs.template_format ?? FORMATS.fstring;
  const format = (Object.keys(FORMATS) as Format[]).find((each) => FORMATS[each] === called);
  if (format === undefined) {
    throw refused(
      `${where} has a template of format ${String(called).slice(0, 20)}, expected f-string or mustache`,
    );
  }
  return { format, template: text(kwargs.template, where) };
}

function read(value: unknown, where: string): Made {
  const { success, data } = serialized.safeParse(value);
  if (!success) throw refused(`${where} is no serialized object of LangChain`);
  return { name: data.id.at(-1) ?? "", kwargs: data.kwargs };
}

function text(value: unknown, where: string): string {
  if (typeof value === "string") return value;
  throw refused(`${where} has content that is no text`);
}

/** @throws refused where any of these is there */
function requireNone(kwargs: Made["kwargs"], names: readonly string[], where: string): void {
  const name = names.find((each) => !isNothing(kwargs[each]));
  if (name !== undefined) throw refused(`${where} has ${name}, which has no counterpart here`);
}

function isNothing(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return !value;
  return Object.keys(value).length === 0;
}

/** @throws refused for what promptd's templates do not have, such as `{x:>10}` */
function parsable(body: PromptBody): PromptBody {
  try {
    parseBody(body);
    return body;
  } catch (cause) {
    throw refused(PromptdError.from(cause).message, cause);
  }
}

function refused(why: string, cause?: unknown): PromptdError {
  return new PromptdError("refused", why, { cause });
}
