/** Writes prompts into a folder of prompt files. */

import { lstat, mkdir, readFile, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { PromptdError } from "../core/errors.ts";
import { ENDINGS, type StoredPrompt, saysTheSame, writePromptFile } from "./prompt-file.ts";
import { MAX_FILE_BYTES, realFolder, reasonOf } from "./scan.ts";
import { makeFolder, replaceFile } from "./write.ts";

export interface ExportOptions {
  /** Replaces files that say something else. Without it they are left, and the prompt is refused. */
  force?: boolean;
}

/** What became of a prompt. `unchanged`: a file of the folder says the same already. */
export type ExportedPrompt =
  | { name: string; outcome: "written" | "unchanged"; path: string }
  | { name: string; outcome: "refused"; why: string };

/**
 * Writes each prompt to its file, whole or not at all. Folders are created;
 * nothing is written outside of `dir`, also not through a link. A prompt that is
 * refused stops no other.
 *
 * @throws invalid where `dir` cannot be made a folder, and what `prompts` throws
 */
export async function exportPrompts(
  dir: string,
  prompts: AsyncIterable<StoredPrompt>,
  options: ExportOptions = {},
): Promise<ExportedPrompt[]> {
  await mkdir(dir, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    // Of what stands there already, realFolder tells more.
    if (cause.code === "EEXIST" || cause.code === "ENOTDIR") return;
    const why = `cannot make the folder ${dir}: ${reasonOf(cause)}`;
    throw new PromptdError("invalid", why, { cause });
  });
  const root = await realFolder(dir);
  const exported: ExportedPrompt[] = [];
  for await (const prompt of prompts) {
    const { name } = prompt;
    try {
      exported.push({ name, ...(await exportPrompt(root, prompt, options)) });
    } catch (thrown) {
      exported.push({ name, outcome: "refused", why: whyRefused(thrown) });
    }
  }
  return exported;
}

async function exportPrompt(
  root: string,
  prompt: StoredPrompt,
  options: ExportOptions,
): Promise<{ outcome: "written" | "unchanged"; path: string }> {
  const file = writePromptFile(prompt);
  const folder = await makeFolder(root, dirname(file.path));
  const existing = await existingFiles(folder, prompt.name);
  const same = existing.find(({ path, bytes }) => bytes && saysTheSame({ path, bytes }, prompt));
  const others = existing.filter((other) => other !== same);
  if (same && others.length === 0) return { outcome: "unchanged", path: same.path };
  if (others.length > 0 && !options.force) {
    const paths = others.map(({ path }) => path).join(", ");
    throw new PromptdError("conflict", `${paths} says something else; --force replaces it`);
  }
  const kept = same?.path ?? file.path;
  if (same === undefined) await replaceFile(join(folder, basename(kept)), file.bytes);
  for (const { path } of others) {
    if (path !== kept) await rm(join(folder, basename(path)));
  }
  return { outcome: "written", path: kept };
}

interface ExistingFile {
  path: string;
  /** Absent where the file is too large to be a prompt's. */
  bytes?: Uint8Array;
}

/** The files of a prompt that stand there now: at most one for each ending. */
async function existingFiles(folder: string, name: string): Promise<ExistingFile[]> {
  const existing: ExistingFile[] = [];
  for (const ending of ENDINGS) {
    const path = name + ending;
    const file = join(folder, basename(path));
    const stats = await lstat(file).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code === "ENOENT") return undefined;
      throw thrown;
    });
    if (stats === undefined) continue;
    if (!stats.isFile()) throw new PromptdError("refused", `${path} is not a regular file`);
    const isRead = stats.size <= MAX_FILE_BYTES;
    existing.push({ path, ...(isRead && { bytes: await readFile(file) }) });
  }
  return existing;
}

/** Why a prompt was refused. Throws on what is neither our judgement nor the file system's. */
function whyRefused(thrown: unknown): string {
  if (thrown instanceof PromptdError) return thrown.message;
  if (thrown instanceof Error && "code" in thrown) return reasonOf(thrown);
  throw thrown;
}
