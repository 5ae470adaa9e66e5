/** Files that commands read. */

import { z } from "zod";
import type { PromptdError } from "../core/errors.ts";
import { inFile, readBytes } from "../files/read.ts";
import { decodeUtf8, parseJson } from "../files/text.ts";
import type { Terminal } from "./terminal.ts";

/** A file, or `-` for stdin. @throws invalid where the file cannot be read */
export async function readInput(file: string, { stdin }: Terminal): Promise<Uint8Array> {
  if (file !== "-") return readBytes(file);
  const chunks: Uint8Array[] = [];
  for await (const chunk of stdin) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** @throws invalid where the file cannot be read, is not JSON or not what the schema expects */
export async function readJsonFile<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
): Promise<z.output<Schema>> {
  const bytes = await readBytes(file);
  let value: unknown;
  try {
    value = parseJson(decodeUtf8(bytes));
  } catch (cause) {
    throw inFile(file, (cause as PromptdError).message, cause);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw inFile(file, z.prettifyError(parsed.error).replaceAll(/\s+/g, " "));
}
