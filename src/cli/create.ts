import { basename } from "node:path";
import { z } from "zod";
import { CreateVersionResponseSchema } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { withService } from "../client/service.ts";
import { PromptdError } from "../core/errors.ts";
import type { JsonValue, TemplateFormat } from "../core/prompt.ts";
import { readChat } from "../files/chat-markup.ts";
import { type PromptFile, readPromptFile } from "../files/prompt-file.ts";
import { inFile, readBytes } from "../files/read.ts";
import { toBodyFields } from "../rpc/convert.ts";
import { readJsonFile } from "./input.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { messageJson } from "./output.ts";
import { abortedText } from "./rollout-changes.ts";
import type { Terminal } from "./terminal.ts";

interface CreateOptions extends ServiceOptions {
  label?: string[];
  tag?: string[];
  message?: string;
  format?: TemplateFormat;
  chat?: boolean;
  config?: string;
  expectedLatest?: number;
}

/** `promptd create`: a version from a file or stdin; what options say wins over the file. */
export async function create(
  terminal: Terminal,
  name: string,
  file: string,
  options: CreateOptions,
): Promise<void> {
  const read = await readPrompt(file, terminal, options);
  const config = options.config === undefined ? read.body.config : await readJson(options.config);
  const body = { ...read.body, config, ...(options.format && { format: options.format }) };
  const response = await withService(connectionOf(options, terminal), ({ prompts }) =>
    prompts.createVersion({
      name,
      ...toBodyFields(body),
      labels: options.label ?? read.labels ?? [],
      tags: options.tag ?? read.tags ?? [],
      commitMessage: options.message ?? read.commitMessage ?? "",
      ...(options.expectedLatest !== undefined && {
        expectedLatestVersion: options.expectedLatest,
      }),
    }),
  );
  if (options.json) {
    terminal.out(messageJson(CreateVersionResponseSchema, response));
    return;
  }
  const what = response.created ? "created" : "has this content already; nothing was created";
  const aborted = abortedText(response.abortedRollouts);
  terminal.out(`${name} version ${response.version} ${what}\n${aborted}`);
}

async function readPrompt(
  file: string,
  terminal: Terminal,
  { chat }: CreateOptions,
): Promise<PromptFile> {
  const bytes = file === "-" ? await readAll(terminal.stdin) : await readBytes(file);
  try {
    const read = readPromptFile(file === "-" ? "stdin.txt" : basename(file), bytes);
    if (!chat || read.body.type === "chat") return read;
    const template = readChat(read.body.template, 1);
    return { ...read, body: { ...read.body, type: "chat", template } };
  } catch (thrown) {
    if (thrown instanceof PromptdError) throw inFile(file, thrown.message, thrown);
    throw thrown;
  }
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function readJson(file: string): Promise<JsonValue> {
  return (await readJsonFile(file, z.json())) as JsonValue;
}
