/** The folder: what the file of each prompt says. */

import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { FileContent } from "../files/header.ts";
import type { Naming } from "../files/naming.ts";
import { readFolder } from "../files/read-folder.ts";
import { type FileBytes, newPromptFile, rewritePromptFile } from "../files/rewrite.ts";
import type { PassedOver } from "../files/scan.ts";
import { type Content, contentKey } from "./contents.ts";

/** A file of a prompt. */
export interface LocalFile extends FileBytes {
  content: FileContent;
  /** Of the content; see `contentKey`. */
  key: string;
  /** Milliseconds since 1970. */
  changedAt: number;
}

export interface LocalSide {
  /** By the prompt's name. */
  files: Map<string, LocalFile>;
  /** Prompts whose file cannot be read or told, by name. */
  unreadable: Map<string, PassedOver>;
  ignored: PassedOver[];
}

/**
 * @param known the prompts of files that were synced before, by path
 * @throws invalid where the folder cannot be read
 */
export async function readLocalSide(
  folder: string,
  naming: Naming,
  known: ReadonlyMap<string, string>,
): Promise<LocalSide> {
  const { prompts, refused, ignored } = await readFolder(folder, naming);
  const side: LocalSide = { files: new Map(), unreadable: new Map(), ignored: [...ignored] };
  for (const { name, path, bytes, content } of prompts) {
    const changedAt = await changeOf(join(folder, path));
    const key = contentKey(contentOf(content));
    side.files.set(name, { path, bytes, content, key, changedAt });
  }
  for (const { path, why, name } of refused) {
    if (name === undefined) side.ignored.push({ path, why });
    else side.unreadable.set(name, { path, why: `${path}: ${why}` });
  }
  // What stood in a folder that cannot be read is not gone.
  for (const { path, why } of [...refused, ...ignored]) {
    for (const [file, name] of known) {
      const isBelow = file === path || file.startsWith(`${path}/`);
      if (isBelow && !side.files.has(name) && !side.unreadable.has(name)) {
        side.unreadable.set(name, { path: file, why: `${path}: ${why}` });
      }
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

/** A file that is gone by now was changed at no time. */
async function changeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
