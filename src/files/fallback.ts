/** The fallback folder: prompt files that answer when nothing else can. */

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { FallbackPrompts } from "../core/cache-ports.ts";
import { canonicalBody, contentHash } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import { requireValidVersion } from "../core/new-version.ts";
import { FALLBACK_VERSION, type PromptVersion } from "../core/prompt.ts";
import { loadJinja } from "../core/template/template.ts";
import { readJinja } from "./jinja-format.ts";
import { ENDINGS, JINJA_ENDING, type PromptFile, readPromptFile } from "./prompt-file.ts";
import { type PassedOver, reasonOf, scanFolder } from "./scan.ts";
import { decodeUtf8 } from "./text.ts";

/** In the place of who created the version. */
const AUTHOR = "promptd";

/**
 * Reads all prompt files of a folder. The prompts are of one project, as those
 * of the seed folder are.
 *
 * @param onRefused told of each file that cannot be taken
 * @throws invalid where the folder cannot be read
 */
export async function readFallbackFolder(
  dir: string,
  ofProject: string,
  onRefused: (file: PassedOver) => void,
): Promise<FallbackPrompts> {
  const { files, refused } = await scanFolder(dir, [...ENDINGS, JINJA_ENDING]);
  refused.forEach(onRefused);
  if (files.some(({ path }) => path.endsWith(JINJA_ENDING))) await loadJinja();
  const prompts = new Map<string, PromptVersion>();
  for (const { path, name } of files) {
    try {
      prompts.set(name, await readVersion(dir, path));
    } catch (thrown) {
      const why = thrown instanceof PromptdError ? thrown.message : reasonOf(thrown);
      onRefused({ path, why });
    }
  }
  return {
    find: (project, name) => (project === ofProject ? prompts.get(name) : undefined),
  };
}

/** @throws invalid, or what the file system throws */
async function readVersion(dir: string, path: string): Promise<PromptVersion> {
  const file = join(dir, path);
  const { mtime } = await stat(file);
  const {
    name,
    body,
    tags = [],
    commitMessage = "",
  } = readFallbackFile(path, await readFile(file));
  requireValidVersion({ name, body, labels: [], tags, commitMessage });
  return {
    name,
    type: body.type,
    version: FALLBACK_VERSION,
    contentHash: contentHash(canonicalBody(body)),
    revision: 0,
    updatedAt: mtime,
    body,
    labels: [],
    tags,
    commitMessage,
    author: AUTHOR,
    createdAt: mtime,
  };
}

/** @throws invalid */
function readFallbackFile(path: string, bytes: Uint8Array): PromptFile {
  if (!path.endsWith(JINJA_ENDING)) return readPromptFile(path, bytes);
  return { name: path.slice(0, -JINJA_ENDING.length), ...readJinja(decodeUtf8(bytes)) };
}
