/** A prompt and its file: which file says which prompt, and the other way around. */

import { extname } from "node:path/posix";
import { canonicalBody } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import { DEFAULT_LABEL, LATEST_LABEL, type PromptBody } from "../core/prompt.ts";
import type { FileContent } from "./header.ts";
import { readJson, rewriteJson, writeJson } from "./json-format.ts";
import { readPrompt, rewritePrompt, writePrompt } from "./prompt-format.ts";
import { promptPath } from "./prompt-path.ts";
import { decodeUtf8 } from "./text.ts";

/** What a file says, and the prompt's name that its path gives. */
export interface PromptFile extends FileContent {
  name: string;
}

/** A version as it is kept: what a file is written from. */
export interface StoredPrompt {
  name: string;
  body: PromptBody;
  /** Labels that point at the version; `latest` is of no account. */
  labels: readonly string[];
  tags: readonly string[];
}

/** The labels of a version whose file names none. */
export const LABELS_OF_UNLABELLED: readonly string[] = [DEFAULT_LABEL];

interface Format {
  /** @throws invalid */
  read: (text: string) => FileContent;
  /** Undefined where the format cannot hold the type of the prompt. */
  write: (content: FileContent) => string | undefined;
  /** Changes a file only where it has to; absent where a file is a template and nothing else. */
  rewrite?: (text: string, content: FileContent) => string;
}

const plain: Format = {
  read: (template) => ({ body: { type: "text", format: "mustache", template, config: {} } }),
  write: ({ body }) => (body.type === "text" ? body.template : undefined),
};

/** By ending; of several that can hold a prompt, the first is written. */
export const FORMATS: ReadonlyMap<string, Format> = new Map([
  [".md", plain],
  [".txt", plain],
  [".prompt", { read: readPrompt, write: writePrompt, rewrite: rewritePrompt }],
  [".json", { read: readJson, write: writeJson, rewrite: rewriteJson }],
]);

/** The endings of prompt files: `.md`, `.txt`, `.prompt`, `.json`. */
export const ENDINGS: readonly string[] = [...FORMATS.keys()];

/** The ending of files that answer from the fallback folder alone. */
export const JINJA_ENDING = ".j2";

/** Why such a file is not taken elsewhere. */
export const JINJA_ELSEWHERE =
  "jinja templates (.j2) are for the fallback folder, PROMPTD_FALLBACK_DIR; the registry takes mustache and fstring";

/**
 * Reads a prompt file that a registry can hold. Its ending decides the format,
 * the rest of its path is the name.
 *
 * @param path relative to the folder of prompts, with `/` between folders
 * @throws invalid with the line or the place, and what was expected there
 */
export function readPromptFile(path: string, bytes: Uint8Array): PromptFile {
  const ending = extname(path);
  const format = FORMATS.get(ending);
  if (ending === JINJA_ENDING) throw new PromptdError("invalid", JINJA_ELSEWHERE);
  if (format === undefined) {
    throw new PromptdError("invalid", `expected a file that ends in ${ENDINGS.join(", ")}`);
  }
  return { name: path.slice(0, -ending.length), ...format.read(decodeUtf8(bytes)) };
}

/**
 * The file of a version: the plainest one that reads back as the same prompt.
 * That is `.md` where the template says it all, `.prompt` where something stands
 * beside it, and `.json` for a template that `.prompt` would misread.
 *
 * A commit message is not written: it tells of one version, and an edited file
 * makes another.
 *
 * @returns the path relative to the folder of prompts, and the file's bytes
 * @throws invalid for a name that makes no safe path
 */
export function writePromptFile(prompt: StoredPrompt): { path: string; bytes: Uint8Array } {
  const stem = promptPath(prompt.name);
  const content = contentOf(prompt);
  for (const [ending, format] of FORMATS) {
    const text = format.write(content);
    if (text === undefined) continue;
    const file = { path: stem + ending, bytes: Buffer.from(text, "utf8") };
    if (saysTheSame(file, prompt)) return file;
  }
  throw new PromptdError("internal", `no file format can hold the prompt ${prompt.name}`);
}

/** Whether a file reads as this version, however it is written. A broken file does not. */
export function saysTheSame(
  file: { path: string; bytes: Uint8Array },
  prompt: StoredPrompt,
): boolean {
  try {
    const read = readPromptFile(file.path, file.bytes);
    return (
      read.name === prompt.name &&
      canonicalBody(read.body) === canonicalBody(prompt.body) &&
      sameSet(read.labels ?? LABELS_OF_UNLABELLED, keptLabels(prompt)) &&
      sameSet(read.tags ?? [], prompt.tags)
    );
  } catch (thrown) {
    if (thrown instanceof PromptdError) return false;
    throw thrown;
  }
}

function contentOf(prompt: StoredPrompt): FileContent {
  const labels = keptLabels(prompt);
  return {
    body: prompt.body,
    ...(!sameSet(labels, LABELS_OF_UNLABELLED) && { labels }),
    ...(prompt.tags.length > 0 && { tags: [...prompt.tags] }),
  };
}

function keptLabels({ labels }: StoredPrompt): string[] {
  return labels.filter((label) => label !== LATEST_LABEL);
}

function sameSet(some: readonly string[], others: readonly string[]): boolean {
  const set = new Set(some);
  return set.size === new Set(others).size && others.every((other) => set.has(other));
}
