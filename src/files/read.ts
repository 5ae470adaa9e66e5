/** Files that somebody named. */

import { readFile } from "node:fs/promises";
import { PromptdError } from "../core/errors.ts";

/** @throws invalid where the file cannot be read */
export async function readBytes(file: string): Promise<Uint8Array> {
  return readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw inFile(file, cause.code === "ENOENT" ? "it does not exist" : cause.message, cause);
  });
}

/** An `invalid` error that begins with the file it is about. */
export function inFile(file: string, problem: string, cause?: unknown): PromptdError {
  return new PromptdError("invalid", `${file}: ${problem}`, { cause });
}
