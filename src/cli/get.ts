import { TemplateFormat } from "../../gen/promptd/v1/prompt_pb.ts";
import {
  type GetPromptResponse,
  GetPromptResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import { withService } from "../client/service.ts";
import { connectionOf, type SelectorOptions, type ServiceOptions, selectorOf } from "./options.ts";
import { chatText, messageJson, shortHash } from "./output.ts";
import type { Terminal } from "./terminal.ts";

interface GetOptions extends ServiceOptions, SelectorOptions {
  userId?: string;
  raw?: boolean;
}

/** `promptd get`: the template on stdout, and nothing else there. */
export async function get(terminal: Terminal, name: string, options: GetOptions): Promise<void> {
  const { userId = "", raw = false } = options;
  const response = await withService(connectionOf(options, terminal), ({ prompts }) =>
    prompts.getPrompt({ name, selector: selectorOf(options), userId, raw }),
  );
  if (options.json) {
    terminal.out(messageJson(GetPromptResponseSchema, response));
    return;
  }
  terminal.out(templateText(response));
  if (terminal.watched) terminal.err(`\n${origin(response)}\n`);
}

function templateText({ prompt }: GetPromptResponse): string {
  const template = prompt?.template;
  if (template?.case !== "chat") return template?.value ?? "";
  return chatText(
    template.value.items.map(({ item }) =>
      item.case === "placeholder"
        ? { heading: `placeholder ${item.value.name}` }
        : { heading: item.value?.role ?? "", content: item.value?.content ?? "" },
    ),
  );
}

const FORMATS: Partial<Record<TemplateFormat, string>> = {
  [TemplateFormat.FSTRING]: "fstring",
  [TemplateFormat.JINJA]: "jinja",
};

function origin({ prompt, resolution }: GetPromptResponse): string {
  if (prompt === undefined) return "";
  const labels = prompt.labels.length > 0 ? ` (${prompt.labels.join(", ")})` : "";
  const format = FORMATS[prompt.format] ?? "mustache";
  const hash = shortHash(resolution?.contentHash ?? "");
  const source = shortHash(resolution?.sourceVersion ?? "");
  const version = `version ${prompt.version}${source ? ` (source ${source})` : ""}`;
  return `${prompt.name} ${version}${labels}, ${format}, revision ${prompt.revision}, content ${hash}`;
}
