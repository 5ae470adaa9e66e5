/** A folder of prompt files as one side of a comparison: what each prompt's file says. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { extname } from "node:path/posix";
import { PromptdError } from "../core/errors.ts";
import type { FileContent } from "./header.ts";
import { caselessPath, type Naming, withoutEnding } from "./naming.ts";
import { PROJECT_FILE } from "./project.ts";
import { ENDINGS, readPromptFile } from "./prompt-file.ts";
import type { FileBytes } from "./rewrite.ts";
import { findFiles, type PassedOver, reasonOf } from "./scan.ts";

interface FolderPrompt extends FileBytes {
  name: string;
  content: FileContent;
}

export interface Folder {
  /** In order of path; each name once. */
  prompts: FolderPrompt[];
  /**
   * What cannot be taken, with the name of the prompt where it is a prompt's file. Such a
   * prompt is not gone. Nor is one that stood below a folder that is refused or ignored now.
   */
  refused: (PassedOver & { name?: string })[];
  /** Files that are not prompt files. */
  ignored: PassedOver[];
}

/**
 * Nothing is guessed: where two files are of one prompt, or one file to some file systems,
 * both are refused.
 *
 * @throws invalid where the folder cannot be read
 */
export async function readFolder(dir: string, naming: Naming): Promise<Folder> {
  const found = await findFiles(dir);
  const folder: Folder = {
    prompts: [],
    refused: [],
    ignored: found.ignored.filter(({ path }) => path !== PROJECT_FILE),
  };
  const isPrompt = ({ path }: { path: string }) => ENDINGS.includes(extname(path));
  for (const { path, why } of found.refused) {
    const named = isPrompt({ path }) && { name: naming.nameOf(path) };
    folder.refused.push({ path, why, ...named });
  }
  const all = [...found.paths, ...found.refused.filter(isPrompt).map(({ path }) => path)];
  const whyNot = collisions(all, naming);
  for (const path of found.paths) {
    const name = naming.nameOf(path);
    try {
      const why = whyNot(path);
      if (why !== undefined) throw new PromptdError("conflict", why);
      const bytes = await readFile(join(dir, path));
      const { name: _, ...content } = readPromptFile(path, bytes);
      folder.prompts.push({ name, path, bytes, content });
    } catch (thrown) {
      const why = thrown instanceof PromptdError ? thrown.message : reasonOf(thrown);
      folder.refused.push({ path, name, why });
    }
  }
  folder.refused.sort((a, b) => (a.path < b.path ? -1 : 1));
  return folder;
}

/** Why a file cannot stand beside the others; undefined where it can. */
export function collisions(
  paths: readonly string[],
  naming: Naming,
): (path: string) => string | undefined {
  const ofName = new Map<string, Set<string>>();
  const spellings = new Map<string, Set<string>>();
  for (const path of paths) {
    add(ofName, naming.nameOf(path), path);
    for (const part of partsOf(path)) add(spellings, caselessPath(part), part);
  }
  return (path) => {
    const name = naming.nameOf(path);
    const twin = other(ofName.get(name), path);
    if (twin !== undefined) {
      return `${twin} is a file of the same prompt, ${name}; keep one of them`;
    }
    for (const part of partsOf(path)) {
      const twin = other(spellings.get(caselessPath(part)), part);
      if (twin !== undefined) {
        return `${twin} is the same to file systems that ignore case; rename one of them`;
      }
    }
    return undefined;
  };
}

/** `a/`, `a/b/` and `a/b/c` of `a/b/c.md`. */
function partsOf(path: string): string[] {
  const stem = withoutEnding(path);
  const folders = [...stem.matchAll(/\//g)].map(({ index }) => stem.slice(0, index + 1));
  return [...folders, stem];
}

function add(sets: Map<string, Set<string>>, key: string, value: string): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}

function other(set: ReadonlySet<string> | undefined, one: string): string | undefined {
  return [...(set ?? [])].find((value) => value !== one);
}
