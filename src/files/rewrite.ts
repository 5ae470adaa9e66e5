/** Writes what a prompt became into the file that it has. */

import { extname } from "node:path/posix";
import { isDeepStrictEqual } from "node:util";
import { canonicalJson } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import type { JsonValue } from "../core/prompt.ts";
import type { FileContent } from "./header.ts";
import { withoutEnding } from "./naming.ts";
import { FORMATS, readPromptFile, type StoredPrompt } from "./prompt-file.ts";
import { decodeUtf8 } from "./text.ts";

/** A file and what it holds. The path is relative to the folder of prompts. */
export interface FileBytes {
  path: string;
  bytes: Uint8Array;
}

/** What a file and a version both hold. */
type Shared = Pick<StoredPrompt, "body" | "tags">;

/**
 * The plainest file that says a prompt's body and tags. Labels are not among them: they
 * move without a version, and in a file they are orders for its next push.
 *
 * @param stem the path without its ending
 */
export function newPromptFile(stem: string, prompt: Shared): FileBytes {
  return fileOf(stem, contentOf(prompt), writtenFrom(contentOf(prompt)));
}

/**
 * The file with another body and other tags. Where it says them already, its very bytes.
 * Otherwise it changes only where it must: comments, labels, tests and the commit message
 * stay, and so does the ending, unless its format cannot hold the prompt. A file that
 * cannot be read is written anew.
 */
export function rewritePromptFile(file: FileBytes, prompt: Shared): FileBytes {
  const old = readIfSound(file);
  const content = contentOf(prompt, old);
  if (old !== undefined && comparable(old) === comparable(content)) return file;
  const stem = withoutEnding(file.path);
  return fileOf(stem, content, rewrittenFrom(file, old, content));
}

/** A text that may be the content's in the format of an ending. */
type Candidate = readonly [ending: string, text: string | undefined];

function* rewrittenFrom(
  { path, bytes }: FileBytes,
  old: FileContent | undefined,
  content: FileContent,
): Generator<Candidate> {
  const ending = extname(path);
  const format = FORMATS.get(ending);
  if (old !== undefined) yield [ending, format?.rewrite?.(decodeUtf8(bytes), content)];
  yield [ending, format?.write(content)];
  yield* writtenFrom(content);
}

function* writtenFrom(content: FileContent): Generator<Candidate> {
  for (const [ending, format] of FORMATS) yield [ending, format.write(content)];
}

/** The first that reads back as the content. */
function fileOf(stem: string, content: FileContent, candidates: Iterable<Candidate>): FileBytes {
  const expected = comparable(content);
  for (const [ending, text] of candidates) {
    if (text === undefined) continue;
    const file = { path: stem + ending, bytes: Buffer.from(text, "utf8") };
    const read = readIfSound(file);
    if (read !== undefined && comparable(read) === expected) return file;
  }
  throw new PromptdError("internal", `no file format can hold the prompt of ${stem}`);
}

/** What the file shall say: of the old content all that no version has, and the tags in its order. */
function contentOf({ body, tags }: Shared, old?: FileContent): FileContent {
  const { body: _, tags: oldTags = [], ...others } = old ?? { body };
  if (isDeepStrictEqual([...oldTags].sort(), [...tags].sort())) return { ...old, body };
  return { ...others, body, ...(tags.length > 0 && { tags: [...tags] }) };
}

function comparable({ tags = [], ...others }: FileContent): string {
  return canonicalJson({ ...others, tags: [...tags].sort() } as unknown as JsonValue);
}

function readIfSound({ path, bytes }: FileBytes): FileContent | undefined {
  try {
    const { name: _, ...content } = readPromptFile(path, bytes);
    return content;
  } catch (thrown) {
    if (thrown instanceof PromptdError) return undefined;
    throw thrown;
  }
}
