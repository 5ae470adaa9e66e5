/** Brings a folder of prompt files into a registry. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pLimit from "p-limit";
import { canonicalBody, contentHash } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import type { NewVersion } from "../core/ports.ts";
import { includedFirst } from "./inclusion-order.ts";
import { LABELS_OF_UNLABELLED, type PromptFile, readPromptFile } from "./prompt-file.ts";
import { type PassedOver, reasonOf, scanFolder } from "./scan.ts";

/** Where the prompts go: a running service, or a registry in the same process. */
export interface ImportTarget {
  /** A prompt's newest version; undefined where there is no such prompt. */
  newest(name: string): Promise<{ version: number; contentHash: string } | undefined>;
  /** @throws PromptdError conflict where `expectedLatestVersion` does not hold */
  create(version: NewVersion): Promise<{ version: number }>;
}

export interface ImportOptions {
  /** What to put on a new version whose file names no labels; default `production`. */
  labels?: readonly string[];
  onProgress?: (progress: { done: number; total: number }) => void;
}

/** What became of a file. `unchanged`: the newest version has the same content. */
type ImportedFile =
  | { path: string; name: string; outcome: "created" | "unchanged"; version: number }
  | { path: string; outcome: "refused"; why: string };

export interface ImportReport {
  /** In order of path. */
  files: ImportedFile[];
  /** Files that are not prompt files. */
  ignored: PassedOver[];
  /** Why the target could not be used any more; `untried` are the prompt files that were left then. */
  stopped?: PromptdError;
  untried: number;
}

/** Calls to the target at the same time. */
const CONCURRENCY = 8;

/** Times that somebody else may create a version between the look and the creation. */
const ATTEMPTS = 3;

/**
 * Creates a version of each prompt whose newest version differs from its file.
 * It changes nothing else: labels and tags are set on what it creates, and only
 * there. A prompt that another one includes goes before it.
 *
 * A file that is refused stops no other; a target that is unavailable stops all.
 * Safe to repeat.
 *
 * @throws invalid where the folder cannot be read
 */
export async function importFolder(
  dir: string,
  target: ImportTarget,
  options: ImportOptions = {},
): Promise<ImportReport> {
  const { labels = LABELS_OF_UNLABELLED, onProgress } = options;
  const { files: found, refused, ignored } = await scanFolder(dir);
  const files: ImportedFile[] = refused.map((file) => ({ ...file, outcome: "refused" }));
  const total = found.length + refused.length;
  const tell = (file: ImportedFile) => {
    files.push(file);
    onProgress?.({ done: files.length, total });
  };

  const readable: { path: string; prompt: PromptFile }[] = [];
  for (const { path } of found) {
    try {
      readable.push({ path, prompt: await readFound(dir, path) });
    } catch (thrown) {
      tell({ path, outcome: "refused", why: whyRefused(thrown) });
    }
  }

  let stopped: PromptdError | undefined;
  const limit = pLimit(CONCURRENCY);
  const importing = new Map<string, Promise<void>>();
  for (const { path, prompt, includes } of includedFirst(readable)) {
    const before = includes.map((name) => importing.get(name));
    const run = async () => {
      await Promise.all(before);
      await limit(async () => {
        if (stopped !== undefined) return;
        try {
          tell({ path, ...(await importPrompt(prompt, labels, target)) });
        } catch (thrown) {
          if (stops(thrown)) stopped ??= PromptdError.from(thrown);
          else tell({ path, outcome: "refused", why: whyRefused(thrown) });
        }
      });
    };
    importing.set(prompt.name, run());
  }
  await Promise.all(importing.values());
  const untried = total - files.length;
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { files, ignored, untried, ...(stopped && { stopped }) };
}

async function readFound(dir: string, path: string): Promise<PromptFile> {
  const bytes = await readFile(join(dir, path)).catch((cause: unknown) => {
    throw new PromptdError("invalid", `cannot be read: ${reasonOf(cause)}`, { cause });
  });
  return readPromptFile(path, bytes);
}

async function importPrompt(
  prompt: PromptFile,
  labels: readonly string[],
  target: ImportTarget,
): Promise<{ name: string; outcome: "created" | "unchanged"; version: number }> {
  const { name, body, tags = [], commitMessage = "" } = prompt;
  const hash = contentHash(canonicalBody(body));
  for (let attempt = 1; ; attempt++) {
    const newest = await target.newest(name);
    if (newest?.contentHash === hash) {
      return { name, outcome: "unchanged", version: newest.version };
    }
    try {
      const { version } = await target.create({
        name,
        body,
        labels: prompt.labels ?? labels,
        ...(tags.length > 0 && { tags }),
        commitMessage,
        expectedLatestVersion: newest?.version ?? 0,
      });
      return { name, outcome: "created", version };
    } catch (thrown) {
      const raced = thrown instanceof PromptdError && thrown.code === "conflict";
      if (!raced || attempt === ATTEMPTS) throw thrown;
    }
  }
}

/** Whether the target cannot be used any more, whatever the file. */
function stops(thrown: unknown): boolean {
  const codes = ["unavailable", "deadline", "canceled", "unauthenticated"];
  return thrown instanceof PromptdError && codes.includes(thrown.code);
}

/** Why a file was refused. Throws on what is no judgement about the file. */
function whyRefused(thrown: unknown): string {
  if (!(thrown instanceof PromptdError)) throw thrown;
  return thrown.message;
}
