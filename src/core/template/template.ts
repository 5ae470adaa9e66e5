import { PromptdError, Violations } from "../errors.ts";
import type { ChatItem, PromptBody, TemplateFormat } from "../prompt.ts";
import { parseFstring } from "./fstring.ts";
import type { JinjaTemplate } from "./jinja.ts";
import { parseMustache } from "./mustache.ts";
import { isPlaceholderName } from "./names.ts";
import type { Segment } from "./segment.ts";

/** A body that is ready to compile: parsed once, compiled often. Sets keep the order of first appearance. */
export type ParsedBody = {
  variables: ReadonlySet<string>;
  placeholders: ReadonlySet<string>;
  /** Raw tags of sections and partials, which promptd does not run. */
  sections: ReadonlySet<string>;
} & (
  | { type: "text"; template: readonly Segment[] }
  | { type: "chat"; template: readonly ParsedItem[] }
  | { type: "jinja"; template: JinjaTemplate }
);

type ParsedItem =
  | { type: "message"; role: string; content: readonly Segment[] }
  | { type: "placeholder"; name: string };

let jinja: typeof import("./jinja.ts") | undefined;

/**
 * Before a body of format `jinja` is parsed. The interpreter is loaded when it is
 * needed: few services have such a file.
 */
export async function loadJinja(): Promise<void> {
  jinja = await import("./jinja.ts");
}

/**
 * Parses a template of any format that the registry holds.
 *
 * @param field is the field of the request that an error names
 * @throws invalid for a brace that `fstring` does not allow; mustache never throws
 */
function parseTemplate(format: TemplateFormat, source: string, field: string): Segment[] {
  switch (format) {
    case "jinja":
      throw new PromptdError("refused", "format jinja is for texts of fallback files only");
    case "mustache":
      return parseMustache(source);
    case "fstring":
      return parseFstring(source, field);
  }
}

/**
 * Parses a body. Violations name the fields of CreateVersionRequest: `text`,
 * `chat.items[3].message.content`, `chat.items[3].placeholder.name`.
 *
 * @throws invalid for a brace that `fstring` does not allow, for what is not jinja,
 * and for placeholders whose name is no variable name or that of a variable;
 * refused for jinja that no fallback file holds
 */
export function parseBody(body: PromptBody): ParsedBody {
  if (body.type === "text") {
    if (body.format === "jinja" && jinja !== undefined) {
      const template = new jinja.JinjaTemplate(body.template, "text");
      const { required: variables } = template;
      return { type: "jinja", template, variables, placeholders: new Set(), sections: new Set() };
    }
    const template = parseTemplate(body.format, body.template, "text");
    return { type: "text", template, placeholders: new Set(), ...tagsOf([template]) };
  }
  const template = body.template.map((item, index): ParsedItem => {
    if (item.type === "placeholder") return item;
    const field = `chat.items[${index}].message.content`;
    const content = parseTemplate(body.format, item.content, field);
    return { type: "message", role: item.role, content };
  });
  const tags = tagsOf(template.map((item) => (item.type === "message" ? item.content : [])));
  const placeholders = placeholdersOf(body.template, tags.variables);
  return { type: "chat", template, placeholders, ...tags };
}

function tagsOf(templates: readonly (readonly Segment[])[]) {
  const variables = new Set<string>();
  const sections = new Set<string>();
  for (const segments of templates) {
    for (const segment of segments) {
      if (segment.kind === "variable") variables.add(segment.name);
      if (segment.kind === "section") sections.add(segment.raw);
    }
  }
  return { variables, sections };
}

function placeholdersOf(
  items: readonly ChatItem[],
  variables: ReadonlySet<string>,
): ReadonlySet<string> {
  const placeholders = new Set<string>();
  const violations = new Violations();
  for (const [index, item] of items.entries()) {
    if (item.type !== "placeholder") continue;
    const { name } = item;
    const field = `chat.items[${index}].placeholder.name`;
    if (!isPlaceholderName(name)) {
      const description = `a placeholder's name is a letter or _, then letters, digits, _ and -: ${name}`;
      violations.add(field, description);
    } else if (variables.has(name)) {
      const description = `variables and placeholders must have different names: ${name}`;
      violations.add(field, description);
    }
    placeholders.add(name);
  }
  violations.throwIfAny();
  return placeholders;
}
