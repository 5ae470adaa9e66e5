/** As many prompt files as a real folder has. */

import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { newPromptFile } from "../../src/files/rewrite.ts";
import { expectRandomTexts } from "./leaks.ts";

/** Real prompts, where they stand beside the project. */
const PATTERNS = resolve("../shared/data/fabric-patterns");

export const isReal = existsSync(PATTERNS);
export const COUNT = 225;

// Their names stand in their texts.
if (isReal) expectRandomTexts();

/** By path. The real ones are in no folder. */
export async function promptFiles(
  inFolders: boolean,
): Promise<[path: string, bytes: Uint8Array][]> {
  if (isReal) {
    const names = (await readdir(PATTERNS)).filter((name) => name.endsWith(".md"));
    return Promise.all(names.map(async (name) => [name, await readFile(join(PATTERNS, name))]));
  }
  return Array.from({ length: COUNT }, (_, at) => {
    const template = `# Prompt ${at}\r\n{{input}}\n\n| ä | {"b": [${at}]} |${"\n".repeat(at % 3)}`;
    const body = { type: "text", format: "mustache", template, config: {} } as const;
    const tags = at % 5 === 0 ? ["fifth", "made"] : [];
    const stem = `${inFolders ? `folder_${at % 4}/` : ""}prompt_${at}`;
    const { path, bytes } = newPromptFile(stem, { body, tags });
    return [path, bytes];
  });
}
