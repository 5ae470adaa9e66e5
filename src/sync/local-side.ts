/** The folder: which files are prompts, and which prompts they are. */

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { PromptdError } from "../core/errors.ts";
import type { FileContent } from "../files/header.ts";
import { type Naming, withoutEnding } from "../files/naming.ts";
import { readPromptFile } from "../files/prompt-file.ts";
import { type FileBytes, newPromptFile, rewritePromptFile } from "../files/rewrite.ts";
import { type PassedOver, reasonOf, scanFolder } from "../files/scan.ts";
import { type Content, contentKey } from "./contents.ts";

/** A file of a prompt. */
export interface LocalFile {
  path: string;
  bytes: Buffer;
  /** Milliseconds since 1970. */
  changedAt: number;
  /** Undefined where it cannot be read as a prompt; then `why` says so. */
  content?: FileContent;
  /** Of the content; see `contentKey`. */
  key?: string;
  why?: string;
}

export interface LocalSide {
  /** By the prompt's name. */
  files: Map<string, LocalFile>;
  /** Prompts whose file cannot be told, and why. */
  unreadable: Map<string, { file: string; why: string }>;
  ignored: PassedOver[];
}

/** What decides which prompt a file is. */
export interface Pairing {
  naming: Naming;
  /** The prompts of files that were synced before, by path. */
  known: ReadonlyMap<string, string>;
  /** Whether there is a prompt of that name on the other side. */
  isThere: (name: string) => boolean;
}

/** @throws invalid where the folder cannot be read */
export async function readLocalSide(folder: string, pairing: Pairing): Promise<LocalSide> {
  const scan = await scanFolder(folder);
  const side: LocalSide = { files: new Map(), unreadable: new Map(), ignored: scan.ignored };
  for (const { path } of scan.files) {
    const name = nameOf(path, pairing);
    const first = side.files.get(name);
    if (first === undefined) side.files.set(name, await readLocal(folder, path));
    else
      side.unreadable.set(name, {
        file: path,
        why: `${first.path} is a file of the same prompt; keep one of them`,
      });
  }
  for (const { path, why } of scan.refused) {
    side.unreadable.set(nameOf(path, pairing), { file: path, why: `${path}: ${why}` });
    // Of a folder that cannot be read, all that was there.
    for (const [file, name] of pairing.known) {
      if (file.startsWith(`${path}/`)) side.unreadable.set(name, { file, why: `${path} ${why}` });
    }
  }
  return side;
}

/** What a file says, as both sides are compared: without tags, it has none. */
export function contentOf({ body, tags = [] }: FileContent): Content {
  return { body, tags };
}

/**
 * The file that holds a content: what stands there already is changed no more than it must be.
 *
 * @throws invalid for a name that makes no file
 */
export function fileOf(
  name: string,
  content: Content,
  existing: LocalFile | undefined,
  naming: Naming,
): FileBytes {
  return existing === undefined
    ? newPromptFile(naming.stemOf(name).stem, content)
    : rewritePromptFile(existing, content);
}

/** A file that was not synced before may be named as exactly as a prompt that is there already. */
function nameOf(path: string, { naming, known, isThere }: Pairing): string {
  const name = naming.nameOf(path);
  const exact = withoutEnding(path);
  return !known.has(path) && !isThere(name) && isThere(exact) ? exact : name;
}

async function readLocal(folder: string, path: string): Promise<LocalFile> {
  const file = join(folder, path);
  try {
    const bytes = await readFile(file);
    const changedAt = (await stat(file)).mtimeMs;
    return { path, bytes, changedAt, ...readContent(path, bytes) };
  } catch (thrown) {
    const why = `${path}: cannot be read: ${reasonOf(thrown)}`;
    return { path, bytes: Buffer.alloc(0), changedAt: 0, why };
  }
}

function readContent(path: string, bytes: Buffer): Pick<LocalFile, "content" | "key" | "why"> {
  try {
    const content = readPromptFile(path, bytes);
    return { content, key: contentKey(contentOf(content)) };
  } catch (thrown) {
    if (!(thrown instanceof PromptdError)) throw thrown;
    return { why: `${path}: ${thrown.message}` };
  }
}
