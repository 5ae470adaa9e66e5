/** The project file: how a folder of prompts is kept in step with a remote side. */

import { readFile, stat } from "node:fs/promises";
import { isAbsolute, join, normalize, sep } from "node:path";
import { extname } from "node:path/posix";
import { z } from "zod";
import { PromptdError } from "../core/errors.ts";
import type { Authority, Preference } from "../core/sync/plan.ts";
import { Validator } from "../core/validate.ts";
import { readKeys, strictKeys } from "./keys.ts";
import { caselessPath, type ListedFile, Naming, withoutEnding } from "./naming.ts";
import { ENDINGS } from "./prompt-file.ts";
import { promptPath } from "./prompt-path.ts";
import { reasonOf } from "./scan.ts";
import { decodeUtf8, withoutByteOrderMark } from "./text.ts";
import { readYamlKeys, type Where } from "./yaml.ts";

export const PROJECT_FILE = "promptd.yaml";

const REMOTES = ["promptd", "langfuse", "langsmith"] as const;

export interface Project {
  /** The folder of prompts. */
  folder: string;
  remote: (typeof REMOTES)[number];
  /** Points at the versions that are followed; absent: that of the last sync. */
  label?: string;
  /** For a version that is pushed from a file that names none. */
  labels: readonly string[];
  /** Absent: no side is right by itself. */
  authority?: Authority;
  /** Absent: a conflict waits for somebody to resolve it. */
  autoResolve?: Preference;
  naming: Naming;
  /** What `promptd validate` asks for beside its own rules. */
  validate: {
    /** The file of a JSON Schema that each config keeps. */
    configSchema?: string;
    /** A template estimated above it is warned of. */
    maxTokens?: number;
  };
  /** What `promptd test` asks models for. */
  test: {
    /** Absent: the one that a prompt's config names. */
    model?: string;
    prices: Prices;
  };
}

/** By model: USD for a million tokens. */
export type Prices = Readonly<Record<string, { input: number; output: number }>>;

/** Where a folder of prompts is, if neither a person nor the project file says so. */
const DEFAULT_FOLDER = "prompts";

/** A file larger than this is something else. */
const MAX_BYTES = 1024 * 1024;

const text = z.string({ error: "expected a text" });

const choice = <Value extends string>(values: readonly [Value, ...Value[]]) =>
  z.enum(values, { error: `expected one of ${values.join(", ")}` });

const SYNC = strictKeys({
  folder: text
    .refine(leadsInside, "expected a folder beside or below the file, such as prompts")
    .optional(),
  remote: choice(REMOTES).default("promptd"),
  label: text.optional(),
  labels: z.array(text, { error: "expected a list of labels" }).default([]),
  authority: choice(["local", "remote"]).optional(),
  auto_resolve: choice(["local", "remote", "newest"]).optional(),
  naming: choice(["kebab", "exact"]).default("kebab"),
  files: z.record(z.string(), text, { error: "expected paths, and the name of each" }).default({}),
});

const VALIDATE = strictKeys({
  config_schema: text
    .refine(leadsInside, "expected a file beside or below this one, such as config.schema.json")
    .optional(),
  max_tokens: z.int({ error: "expected a whole number" }).min(1, "expected 1 or more").optional(),
});

const price = z.number({ error: "expected USD for a million tokens" }).min(0, "expected 0 or more");

const TEST = strictKeys({
  model: text.optional(),
  prices: z
    .record(z.string(), strictKeys({ input: price, output: price }), {
      error: "expected models, and the price of each",
    })
    .default({}),
});

const PROJECT = strictKeys({
  sync: SYNC.prefault({}),
  validate: VALIDATE.prefault({}),
  test: TEST.prefault({}),
});

/**
 * Reads the project file of a folder, or else that of the working directory. Without
 * either the defaults hold.
 *
 * @param dir the folder that a person named: of the project file, or of the prompts
 * @throws invalid with the line
 */
export async function loadProject(dir?: string, workingDir = "."): Promise<Project> {
  const ofDir = dir === undefined ? undefined : await readProject(dir);
  const { folder, ...project } = ofDir ?? (await readProject(workingDir)) ?? parseProject("", ".");
  if (dir === undefined) return { ...project, folder: join(workingDir, folder ?? DEFAULT_FOLDER) };
  return { ...project, folder: ofDir === undefined ? dir : join(dir, folder ?? ".") };
}

/** With the folder as the file names it; undefined where there is no such file. */
type FileProject = Omit<Project, "folder"> & { folder?: string };

async function readProject(dir: string): Promise<FileProject | undefined> {
  const path = join(dir, PROJECT_FILE);
  try {
    const stats = await stat(path);
    if (stats.size > MAX_BYTES) {
      const why = `has ${stats.size} bytes, expected at most ${MAX_BYTES}`;
      throw new PromptdError("invalid", why);
    }
    // A device that a link leads to is read without end.
    if (!stats.isFile()) throw new PromptdError("invalid", "is not a regular file");
    return parseProject(withoutByteOrderMark(decodeUtf8(await readFile(path))), dir);
  } catch (thrown) {
    if (thrown instanceof PromptdError) {
      throw new PromptdError("invalid", `${path}: ${thrown.message}`, { cause: thrown });
    }
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new PromptdError("invalid", `cannot read ${path}: ${reasonOf(thrown)}`, {
      cause: thrown,
    });
  }
}

/**
 * @param dir where the file stands
 * @throws invalid with the line
 */
function parseProject(yaml: string, dir: string): FileProject {
  const { fields, where } = readYamlKeys(yaml, 1);
  const { sync, validate, test } = readKeys(PROJECT, fields, where);
  const { config_schema, max_tokens } = validate;
  const { remote, label, labels, folder, authority, auto_resolve, naming, files } = sync;
  const listed = Object.entries(files);
  requireSound(sync, where);
  requireDistinct(listed, where);
  return {
    remote,
    ...(label !== undefined && { label }),
    labels,
    naming: new Naming(naming, listed),
    ...(folder !== undefined && { folder }),
    ...(authority && { authority }),
    ...(auto_resolve && { autoResolve: auto_resolve }),
    validate: {
      ...(config_schema !== undefined && { configSchema: join(dir, config_schema) }),
      ...(max_tokens !== undefined && { maxTokens: max_tokens }),
    },
    test: { prices: test.prices, ...(test.model !== undefined && { model: test.model }) },
  };
}

/** Labels and names as the registry takes them, and paths inside of the folder. */
function requireSound({ label, labels, files }: z.output<typeof SYNC>, where: Where): void {
  const validator = new Validator();
  if (label !== undefined) validator.label(label, `${where("sync", "label")}sync.label`);
  labels.forEach((label, index) => {
    validator.label(label, `${where("sync", "labels", index)}sync.labels[${index}]`);
  });
  for (const [path, name] of Object.entries(files)) {
    const field = `${where("sync", "files", path)}sync.files`;
    if (!ENDINGS.includes(extname(path))) {
      validator.require(false, field, `expected a path that ends in ${ENDINGS.join(", ")}`);
    }
    validator.require(isSafePath(path), field, `${JSON.stringify(path)} is no path in the folder`);
    validator.name(name, field);
  }
  validator.done();
}

function isSafePath(path: string): boolean {
  try {
    promptPath(withoutEnding(path));
    return true;
  } catch {
    return false;
  }
}

/** @throws invalid where two files have one name, or are one file to some file systems */
function requireDistinct(files: readonly ListedFile[], where: Where): void {
  const firstOf = new Map<string, string>();
  for (const [path, name] of files) {
    const line = where("sync", "files", path);
    for (const key of [`name ${name}`, `file ${caselessPath(withoutEnding(path))}`]) {
      const first = firstOf.get(key);
      if (first !== undefined) {
        const message = `${line}sync.files: ${path} and ${first} cannot be told apart; keep one of them`;
        throw new PromptdError("invalid", message);
      }
      firstOf.set(key, path);
    }
  }
}

/** A project file that came with somebody's repository is not to reach out of it. */
function leadsInside(folder: string): boolean {
  return folder !== "" && !isAbsolute(folder) && normalize(folder).split(sep)[0] !== "..";
}
