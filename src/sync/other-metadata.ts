/** What other programs note of their syncs: two layouts that are in use. */

import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import pLimit from "p-limit";
import { z } from "zod";
import { PromptdError } from "../core/errors.ts";
import { reasonOf } from "../files/scan.ts";

/** A prompt as another program remembers it. */
export interface Remembered {
  name: string;
  /** As a path that can be opened. */
  file: string;
  /** SHA-256 of the text that both sides held last, in hex. */
  checksum?: string;
  /** The version that had it; absent where nobody noted it. */
  version?: number;
  label?: string;
  pulledAt?: Date;
  pushedAt?: Date;
  direction?: "pull" | "push";
  /** The file was edited on purpose. */
  edited: boolean;
}

/** A file larger than this is something else. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Files that are read at the same time. */
const CONCURRENT = 8;

const text = z.string().min(1);
const optional = <Schema extends z.ZodType>(schema: Schema) => schema.nullish().catch(undefined);
const checksum = optional(z.string().regex(/^[0-9a-f]{64}$/));
/** A time that does not say of which zone it is tells nobody when it was. */
const time = optional(z.iso.datetime({ offset: true }).transform((iso) => new Date(iso)));

/** All prompts in one file, `.prompt_metadata.json` beside the prompts. */
const ONE_FILE = z.object({
  prompts: z.record(
    z.string(),
    z.object({
      local_file: text,
      langfuse_name: optional(text),
      langfuse_version: optional(z.int().min(1)),
      langfuse_label: optional(text),
      last_pulled: time,
      last_pushed: time,
      last_synced_checksum: checksum,
    }),
  ),
});
const ONE_FILE_NAME = ".prompt_metadata.json";

/** A file for each prompt, `metadata/NAME.json` beside `NAME.txt`. */
const FILE_EACH = z.object({
  prompt_name: text,
  locally_modified: z.boolean().catch(false),
  hub_content_hash: checksum,
  last_sync_timestamp: time,
  sync_direction: optional(z.enum(["pull", "push"])),
});
const FILES_EACH_FOLDER = "metadata";

/**
 * @param path the one file or its folder, or the folder of the many or the one around it
 * @throws invalid for what is neither
 */
export async function readOtherMetadata(path: string): Promise<Remembered[]> {
  const found = await stat(path).catch(unreadable(path));
  if (!found.isDirectory()) return readOneFile(path);
  const names = await readdir(path);
  if (names.includes(ONE_FILE_NAME)) return readOneFile(join(path, ONE_FILE_NAME));
  const folder = names.includes(FILES_EACH_FOLDER) ? join(path, FILES_EACH_FOLDER) : path;
  const files = (await readdir(folder)).filter((name) => name.endsWith(".json")).sort();
  if (files.length === 0) {
    const expected = `${ONE_FILE_NAME}, or a folder ${FILES_EACH_FOLDER} with a .json for each prompt`;
    throw new PromptdError("invalid", `${path} has no metadata: expected ${expected}`);
  }
  return pLimit(CONCURRENT).map(files, (name) => readFileOfOne(join(folder, name)));
}

async function readOneFile(path: string): Promise<Remembered[]> {
  const { prompts } = await readJson(path, ONE_FILE);
  return Object.entries(prompts).map(([key, noted]) => {
    const pulledAt = noted.last_pulled ?? undefined;
    const pushedAt = noted.last_pushed ?? undefined;
    return {
      name: noted.langfuse_name ?? key,
      file: join(dirname(path), noted.local_file),
      ...(noted.last_synced_checksum && { checksum: noted.last_synced_checksum }),
      ...(noted.langfuse_version && { version: noted.langfuse_version }),
      ...(noted.langfuse_label && { label: noted.langfuse_label }),
      ...(pulledAt && { pulledAt }),
      ...(pushedAt && { pushedAt }),
      ...lastDirection(pulledAt, pushedAt),
      edited: false,
    };
  });
}

async function readFileOfOne(path: string): Promise<Remembered> {
  const noted = await readJson(path, FILE_EACH);
  const { sync_direction: direction, last_sync_timestamp: at } = noted;
  const name = basename(path, ".json");
  return {
    name: noted.prompt_name,
    file: join(dirname(dirname(path)), `${name}.txt`),
    ...(noted.hub_content_hash && { checksum: noted.hub_content_hash }),
    ...(direction && { direction }),
    ...(direction === "pull" && at && { pulledAt: at }),
    ...(direction === "push" && at && { pushedAt: at }),
    edited: noted.locally_modified,
  };
}

function lastDirection(
  pulledAt: Date | undefined,
  pushedAt: Date | undefined,
): Pick<Remembered, "direction"> {
  if (pulledAt === undefined && pushedAt === undefined) return {};
  return { direction: Number(pushedAt ?? 0) > Number(pulledAt ?? 0) ? "push" : "pull" };
}

/** @throws invalid naming the file */
async function readJson<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
): Promise<z.output<Schema>> {
  const { size } = await stat(path).catch(unreadable(path));
  if (size > MAX_BYTES) throw invalid(path, `has ${size} bytes, expected at most ${MAX_BYTES}`);
  const read = await readFile(path, "utf8").catch(unreadable(path));
  let value: unknown;
  try {
    value = JSON.parse(read);
  } catch {
    throw invalid(path, "is not JSON");
  }
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  throw invalid(path, `${issue?.path.join(".") || "it"}: ${issue?.message}`);
}

function unreadable(path: string): (thrown: unknown) => never {
  return (thrown) => {
    throw invalid(path, `cannot be read: ${reasonOf(thrown)}`);
  };
}

function invalid(path: string, why: string): PromptdError {
  return new PromptdError("invalid", `${path}: ${why}`);
}
