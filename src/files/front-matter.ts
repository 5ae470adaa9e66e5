/** The YAML between two lines of `---` at the top of a `.prompt` file. */

import {
  type Document,
  Lexer,
  LineCounter,
  Parser,
  parseDocument,
  type Scalar,
  stringify,
  visit,
  type YAMLMap,
} from "yaml";
import { PromptdError } from "../core/errors.ts";
import { invalidLine } from "./text.ts";

export interface FrontMatter {
  fields: Record<string, unknown>;
  /** `line 3: ` where a key stands in the file, empty where it does not. */
  where: (key: string) => string;
  /** Everything after the closing line. */
  body: string;
  /** The line of the file with which the body begins. */
  bodyLine: number;
}

const FENCE = /^---[ \t]*\r?$/;

/** How many there may be, and what they may multiply a document by: enough for a person, too little for a bomb. */
const MAX_ALIASES = 100;

/** More levels than a config may have, and far fewer than end the process. */
const MAX_DEPTH = 100;

/**
 * Takes the front matter off a file; undefined where the first line is not `---`.
 *
 * The YAML is 1.2 without tags, and gives JSON: dates stay texts, keys are texts.
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
  return { ...parseYaml(yaml), body, bodyLine: closing + 2 };
}

/** Front matter with its two lines of `---`. */
export function writeFrontMatter(fields: Record<string, unknown>): string {
  return `---\n${stringify(fields, { lineWidth: 0, aliasDuplicateObjects: false })}---\n`;
}

function parseYaml(yaml: string): Pick<FrontMatter, "fields" | "where"> {
  requireShallow(yaml);
  const lineCounter = new LineCounter();
  const document = parseDocument(yaml, {
    schema: "core",
    resolveKnownTags: false,
    stringKeys: true,
    uniqueKeys: false,
    prettyErrors: false,
    lineCounter,
  });
  // The file's first line is the opening fence.
  const lineAt = (offset: number) => lineCounter.linePos(offset).line + 1;
  const [problem] = [...document.errors, ...document.warnings];
  if (problem)
    throw invalidLine(lineAt(problem.pos[0]), `not the YAML expected: ${problem.message}`);
  requireDistinctKeys(document, lineAt);
  const fields = plainValue(() => document.toJS({ maxAliasCount: MAX_ALIASES })) ?? {};
  if (typeof fields !== "object" || Array.isArray(fields)) {
    throw invalidLine(2, "expected keys and values, such as `type: chat`");
  }
  const pairs = (document.contents as YAMLMap.Parsed | null)?.items ?? [];
  const where = (key: string) => {
    const pair = pairs.find((pair) => String(pair.key) === key);
    return pair ? `line ${lineAt(pair.key.range[0])}: ` : "";
  };
  return { fields: fields as Record<string, unknown>, where };
}

/**
 * The library goes into nested values by recursion: tens of thousands of levels overflow Node's
 * stack, and in some places that ends the process. Its parser alone keeps a stack that can be seen.
 *
 * @throws invalid
 */
function requireShallow(yaml: string): void {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(yaml)) {
    for (const _ of parser.next(lexeme)) {
      // A document that has ended; parseDocument makes it again.
    }
    if (parser.stack.length > MAX_DEPTH) {
      const problem = `not the YAML expected: more than ${MAX_DEPTH} levels of nesting`;
      throw invalidLine(2, problem);
    }
  }
}

/**
 * The library compares each key with all others, and looks for an alias's anchor in the whole
 * document: a file of many would take minutes.
 *
 * @throws invalid for a key that stands twice in one map, and for too many aliases
 */
function requireDistinctKeys(document: Document, lineAt: (offset: number) => number): void {
  let aliases = 0;
  visit(document, {
    Alias: (_, { range }) => {
      aliases += 1;
      if (aliases <= MAX_ALIASES) return;
      const line = lineAt(range?.[0] ?? 0);
      throw invalidLine(line, `not the YAML expected: more than ${MAX_ALIASES} aliases`);
    },
    Map: (_, { items }) => {
      const keys = new Set<string>();
      for (const { key } of items as { key: Scalar }[]) {
        const line = lineAt(key.range?.[0] ?? 0);
        if (keys.has(String(key))) {
          throw invalidLine(line, "not the YAML expected: Map keys must be unique");
        }
        keys.add(String(key));
      }
    },
  });
}

/** The library throws at aliases that lead nowhere, or multiply. */
function plainValue(toJS: () => unknown): unknown {
  try {
    return toJS();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PromptdError("invalid", `not the YAML expected: ${reason}`, { cause });
  }
}
