/** The YAML between two lines of `---` at the top of a `.prompt` file. */

import { invalidLine } from "./text.ts";
import { readYamlKeys, writeYaml, type YamlKeys } from "./yaml.ts";

export interface FrontMatter extends YamlKeys {
  /** What stands between the two lines. */
  yaml: string;
  /** Everything after the closing line. */
  body: string;
  /** The line of the file with which the body begins. */
  bodyLine: number;
}

const FENCE = /^---[ \t]*\r?$/;

/**
 * Takes the front matter off a file; undefined where the first line is not `---`.
 *
 * @throws invalid with the line, for front matter that is not closed or not YAML
 */
export function readFrontMatter(text: string): FrontMatter | undefined {
  const lines = text.split("\n");
  if (!FENCE.test(lines[0] ?? "")) return undefined;
  const closing = lines.findIndex((line, index) => index > 0 && FENCE.test(line));
  if (closing === -1) {
    throw invalidLine(
      1,
      "the front matter has no end: expected a second line of --- (a text that begins so belongs in a .md file)",
    );
  }
  const yaml = lines
    .slice(1, closing)
    .map((line) => `${line}\n`)
    .join("");
  const body = lines.slice(closing + 1).join("\n");
  return { ...readYamlKeys(yaml, 2), yaml, body, bodyLine: closing + 2 };
}

/** Front matter with its two lines of `---`. */
export function writeFrontMatter(fields: Record<string, unknown>): string {
  return `---\n${writeYaml(fields)}---\n`;
}
