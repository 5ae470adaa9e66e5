/** Finds the prompt files of a folder. */

import { readdir, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { extname } from "node:path/posix";
import { PromptdError } from "../core/errors.ts";
import { ENDINGS, JINJA_ELSEWHERE, JINJA_ENDING } from "./prompt-file.ts";

/** A file larger than this is no prompt: a template has at most 1 MiB. */
export const MAX_FILE_BYTES = 2 * 1024 * 1024;

interface FoundFiles {
  /** Of prompt files, in order. */
  paths: string[];
  /** Prompt files that cannot be taken. */
  refused: PassedOver[];
  /** Files that are not prompt files. */
  ignored: PassedOver[];
}

export interface FolderScan extends Omit<FoundFiles, "paths"> {
  /** In order of path; each prompt once. */
  files: { path: string; name: string }[];
}

export interface PassedOver {
  /** Relative to the folder, with `/` between folders. */
  path: string;
  why: string;
}

/**
 * Looks through a folder and the folders in it. Entries that start with a dot
 * are passed over silently. A link is followed to a file of the same folder
 * only, so that nothing from elsewhere is read.
 *
 * @param endings of prompt files, with their dots
 * @throws invalid where the folder cannot be read
 */
export async function findFiles(
  dir: string,
  endings: readonly string[] = ENDINGS,
): Promise<FoundFiles> {
  const root = await realFolder(dir);
  const found: FoundFiles = { paths: [], refused: [], ignored: [] };
  const paths = await pathsBelow(root, "", found.refused);
  for (const path of paths.sort()) {
    const { refused, ignored } = await judge(root, path, endings);
    if (refused !== undefined) found.refused.push({ path, why: refused });
    else if (ignored !== undefined) found.ignored.push({ path, why: ignored });
    else found.paths.push(path);
  }
  return found;
}

/**
 * Whether a prompt's file can stand at a path relative to the folder. Nothing that starts with a
 * dot is one, which keeps others from naming what the sync writes for itself, or `..`.
 */
export function isPromptFile(path: string): boolean {
  return ENDINGS.includes(extname(path)) && !path.split("/").some((part) => part.startsWith("."));
}

/**
 * The files of a folder by their exact names. Of two files of one prompt the second is
 * refused.
 *
 * @throws invalid where the folder cannot be read
 */
export async function scanFolder(dir: string, endings = ENDINGS): Promise<FolderScan> {
  const { paths, refused, ignored } = await findFiles(dir, endings);
  const files: FolderScan["files"] = [];
  const pathOf = new Map<string, string>();
  for (const path of paths) {
    const name = path.slice(0, -extname(path).length);
    const first = pathOf.get(name);
    if (first === undefined) {
      pathOf.set(name, path);
      files.push({ path, name });
    } else {
      refused.push({ path, why: `${first} is a file of the same prompt; keep one of them` });
    }
  }
  refused.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { files, refused, ignored };
}

/**
 * The path of a folder with all links followed.
 *
 * @throws invalid where there is no such folder
 */
export async function realFolder(dir: string): Promise<string> {
  const found = await stat(dir).catch(unreadableFolder(dir));
  if (!found.isDirectory()) throw new PromptdError("invalid", `${dir} is not a folder`);
  return realpath(dir);
}

/** What the file system's error says, without the path that the caller names anyway. */
export function reasonOf(thrown: unknown): string {
  const { code, message } = thrown as NodeJS.ErrnoException;
  if (code === "EACCES") return "permission denied";
  return code === "ENOENT" ? "it does not exist" : (code ?? message);
}

function unreadableFolder(dir: string): (cause: unknown) => never {
  return (cause) => {
    const why = `cannot read the folder ${dir}: ${reasonOf(cause)}`;
    throw new PromptdError("invalid", why, { cause });
  };
}

/**
 * All that is not a folder. A folder in it that cannot be read is refused and
 * stops nothing.
 *
 * @throws invalid where the root itself cannot be read
 */
async function pathsBelow(root: string, folder: string, refused: PassedOver[]): Promise<string[]> {
  const paths: string[] = [];
  const dir = join(root, folder);
  const entries = await readdir(dir, { withFileTypes: true }).catch((cause) => {
    if (folder === "") return unreadableFolder(dir)(cause);
    refused.push({ path: folder, why: `cannot be read: ${reasonOf(cause)}` });
    return [];
  });
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) paths.push(...(await pathsBelow(root, path, refused)));
    else paths.push(path);
  }
  return paths;
}

/** Whether a path lies in a folder; both with all links followed. */
function isInside(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

/** Why a file is not taken; neither for a prompt file that is fine so far. */
async function judge(
  root: string,
  path: string,
  endings: readonly string[],
): Promise<{ refused?: string; ignored?: string }> {
  const ending = extname(path);
  const isPrompt = endings.includes(ending);
  try {
    const target = await realpath(join(root, path));
    if (!isInside(root, target)) return { ignored: "a link that leads out of the folder" };
    const stats = await stat(target);
    if (stats.isDirectory()) return { ignored: "a link to a folder" };
    if (!isPrompt && ending === JINJA_ENDING) return { refused: JINJA_ELSEWHERE };
    if (!isPrompt) return { ignored: `its name does not end in ${endings.join(", ")}` };
    if (!stats.isFile()) return { ignored: "not a regular file" };
    if (stats.size <= MAX_FILE_BYTES) return {};
    return { refused: `has ${stats.size} bytes, expected at most ${MAX_FILE_BYTES}` };
  } catch (thrown) {
    const why = `cannot be read: ${reasonOf(thrown)}`;
    return isPrompt ? { refused: why } : { ignored: why };
  }
}
