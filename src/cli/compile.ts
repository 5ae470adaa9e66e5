import type { JsonObject } from "@bufbuild/protobuf";
import { z } from "zod";
import { CompileResponseSchema, MissingVariables } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { withService } from "../client/service.ts";
import { readJsonFile } from "./input.ts";
import { connectionOf, type SelectorOptions, type ServiceOptions, selectorOf } from "./options.ts";
import { chatText, messageJson } from "./output.ts";
import type { Terminal } from "./terminal.ts";

interface CompileOptions extends ServiceOptions, SelectorOptions {
  userId?: string;
  /** Files of JSON objects. */
  vars?: string[];
  var?: [name: string, text: string][];
  varJson?: [name: string, value: unknown][];
  placeholder?: [name: string, file: string][];
  missing: "strict" | "keep" | "empty";
}

const MISSING = {
  strict: MissingVariables.STRICT,
  keep: MissingVariables.KEEP,
  empty: MissingVariables.EMPTY,
};

const VARIABLES = z.record(z.string(), z.json(), { error: "expected an object of variables" });
const MESSAGES = z.array(z.strictObject({ role: z.string(), content: z.string() }), {
  error: "expected a list of messages, each {role, content}",
});

/** `promptd compile`: the filled-in template on stdout, and nothing else there. */
export async function compile(
  terminal: Terminal,
  name: string,
  options: CompileOptions,
): Promise<void> {
  const variables = await variablesOf(options);
  const placeholders: Record<string, { messages: z.output<typeof MESSAGES> }> = {};
  for (const [placeholder, file] of options.placeholder ?? []) {
    placeholders[placeholder] = { messages: await readJsonFile(file, MESSAGES) };
  }
  const response = await withService(connectionOf(options, terminal), ({ prompts }) =>
    prompts.compile({
      name,
      selector: selectorOf(options),
      userId: options.userId ?? "",
      variables,
      placeholders,
      missingVariables: MISSING[options.missing],
    }),
  );
  const { output } = response;
  if (options.json) {
    terminal.out(messageJson(CompileResponseSchema, response));
  } else if (output.case === "chat") {
    const { messages } = output.value;
    terminal.out(chatText(messages.map(({ role, content }) => ({ heading: role, content }))));
  } else {
    terminal.out(output.value ?? "");
  }
}

/** What is given by name wins over what stands in files. */
async function variablesOf(options: CompileOptions): Promise<JsonObject> {
  const variables = new Map<string, unknown>();
  for (const file of options.vars ?? []) {
    for (const [key, value] of Object.entries(await readJsonFile(file, VARIABLES))) {
      variables.set(key, value);
    }
  }
  for (const [key, value] of [...(options.varJson ?? []), ...(options.var ?? [])]) {
    variables.set(key, value);
  }
  return Object.fromEntries(variables) as JsonObject;
}
