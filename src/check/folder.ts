/** Checks a folder of prompt files by itself, without the registry that they are for. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { extname } from "node:path/posix";
import { PromptdError } from "../core/errors.ts";
import { endOfJson } from "../files/json-lines.ts";
import type { Naming } from "../files/naming.ts";
import { placeFinder, placesOf } from "../files/places.ts";
import { ENDINGS, readPromptFile } from "../files/prompt-file.ts";
import { collisions } from "../files/read-folder.ts";
import { findFiles, reasonOf } from "../files/scan.ts";
import { withoutByteOrderMark } from "../files/text.ts";
import { checkComposition } from "./composition.ts";
import type { ConfigCheck } from "./config-schema.ts";
import { type Fault, type Found, RULES } from "./fault.ts";
import { checkLimits, checkPlaceholders } from "./limits.ts";
import { type CheckedPrompt, textsOf } from "./prompt.ts";
import { secretsIn, withoutSecrets } from "./secrets.ts";
import { checkTemplate } from "./template.ts";
import { checkTestCases } from "./test-cases.ts";
import { checkVariables } from "./variables.ts";

export interface CheckOptions {
  naming: Naming;
  /** What `readConfigSchema` made; absent: any config will do. */
  checkConfig?: ConfigCheck;
  /** Absent: any length that the registry takes. */
  maxTokens?: number;
}

export interface CheckReport {
  /** How many files were looked at. */
  files: number;
  /** In order of file and line. */
  faults: Fault[];
}

/** More of one file than anybody reads; errors go before warnings. */
const MOST_FAULTS = 100;

/** Of English text in the tokenizers of today, roughly. */
const CHARACTERS_PER_TOKEN = 4;

/** @throws invalid where the folder cannot be read */
export async function checkFolder(dir: string, options: CheckOptions): Promise<CheckReport> {
  const { naming } = options;
  const { paths, refused } = await findFiles(dir);
  const byFile = new Map<string, Found[]>();
  for (const { path, why } of refused) {
    byFile.set(path, [{ rule: "unreadable-file", line: 1, message: why }]);
  }
  const prompts = new Map<string, CheckedPrompt>();
  const byName = new Map<string, CheckedPrompt>();
  for (const path of paths) {
    const { prompt, found } = await readOne(dir, path, naming.nameOf(path));
    byFile.set(path, found);
    if (prompt === undefined) continue;
    prompts.set(path, prompt);
    byName.set(prompt.name, prompt);
  }

  const all = [...byFile.keys()].filter((path) => ENDINGS.includes(extname(path)));
  const names = new Set(all.map((path) => naming.nameOf(path)));
  const whyNot = collisions(all, naming);
  for (const path of all) {
    const why = whyNot(path);
    if (why) byFile.get(path)?.push({ rule: "same-prompt", line: 1, message: why });
  }

  const children = {
    get: (name: string) => byName.get(name),
    has: (name: string) => names.has(name),
  };
  for (const [path, prompt] of prompts) {
    byFile.set(path, [
      ...(byFile.get(path) ?? []),
      ...checkLimits(prompt),
      ...checkPlaceholders(prompt),
      ...checkVariables(prompt, children),
      ...(options.checkConfig?.(prompt) ?? []),
      ...checkTestCases(prompt),
      ...checkTokens(prompt, options.maxTokens),
      ...(await checkComposition(prompt, children)),
    ]);
  }
  const faults = [...byFile].sort(([a], [b]) => (a < b ? -1 : 1));
  return { files: byFile.size, faults: faults.flatMap(([file, found]) => faultsOf(file, found)) };
}

/** Secrets are looked for in what cannot be read as a prompt, too. */
async function readOne(
  dir: string,
  path: string,
  name: string,
): Promise<{ prompt?: CheckedPrompt; found: Found[] }> {
  let text = "";
  let found: Found[] = [];
  try {
    const bytes = await readFile(join(dir, path));
    text = bytes.toString("utf8");
    found = secretsIn(text);
    const { name: _, ...content } = readPromptFile(path, bytes);
    const places = placesOf(path, text, content.body);
    const template = checkTemplate(content.body, places);
    const { variables } = template;
    return { prompt: { name, content, places, variables }, found: [...found, ...template.found] };
  } catch (thrown) {
    const why =
      thrown instanceof PromptdError ? thrown.message : `cannot be read: ${reasonOf(thrown)}`;
    return { found: [...found, unreadable(path, text, why)] };
  }
}

/** Errors of files begin with the line, save those of JSON. */
function unreadable(path: string, text: string, why: string): Found {
  const rule = "unreadable-file";
  const [beginning = "", line] = /^line (\d+): /.exec(why) ?? [];
  const json = withoutByteOrderMark(text);
  if (extname(path) === ".json" && why.startsWith("not JSON")) {
    return { rule, ...placeFinder(json)(endOfJson(json)), message: why };
  }
  return { rule, line: Number(line ?? 1), message: why.slice(beginning.length) };
}

function checkTokens({ content, places }: CheckedPrompt, most: number | undefined): Found[] {
  if (most === undefined) return [];
  const characters = textsOf(content.body).reduce((sum, { text }) => sum + text.length, 0);
  const tokens = Math.ceil(characters / CHARACTERS_PER_TOKEN);
  if (tokens <= most) return [];
  const message = `about ${tokens} tokens, estimated as characters / ${CHARACTERS_PER_TOKEN}: expected at most ${most}`;
  return [{ rule: "tokens", ...places.ofItem(0), message }];
}

function faultsOf(file: string, found: readonly Found[]): Fault[] {
  const faults = found.map(({ rule, line, column, message }): Fault => {
    const [severity] = RULES[rule];
    const place = column === undefined ? { line } : { line, column };
    return { file, ...place, severity, rule, message: withoutSecrets(message) };
  });
  const isError = ({ severity }: Fault) => severity === "error";
  const kept = [...faults.filter(isError), ...faults.filter((each) => !isError(each))];
  return kept
    .slice(0, MOST_FAULTS)
    .sort((a, b) => a.line - b.line || (a.column ?? 0) - (b.column ?? 0));
}
