/** YAML that people write: keys and values, with the line of each for errors. */

import {
  type Document,
  isMap,
  isSeq,
  Lexer,
  LineCounter,
  type ParsedNode,
  Parser,
  parseDocument,
  type Scalar,
  stringify,
  visit,
} from "yaml";
import { PromptdError } from "../core/errors.ts";
import { invalidLine } from "./text.ts";

/** What an error about the value at a path of keys begins with, such as `line 3: `; empty where nothing stands there. */
export type Where = (...path: PropertyKey[]) => string;

export interface YamlKeys {
  fields: Record<string, unknown>;
  where: Where;
  /** The line of what `where` tells; undefined where nothing stands there. */
  lineOf: (...path: PropertyKey[]) => number | undefined;
  /** For edits that leave the rest as it is written. */
  document: Document.Parsed;
}

/** How many there may be, and what they may multiply a document by: enough for a person, too little for a bomb. */
const MAX_ALIASES = 100;

/** More levels than a config may have, and far fewer than end the process. */
const MAX_DEPTH = 100;

/**
 * The YAML is 1.2 without tags, and gives JSON: dates stay texts, keys are texts.
 *
 * @param firstLine the line of the file with which it begins
 * @throws invalid with the line, for what is not such YAML, and no map
 */
export function readYamlKeys(yaml: string, firstLine: number): YamlKeys {
  requireShallow(yaml, firstLine);
  const lineCounter = new LineCounter();
  const document = parseDocument(yaml, {
    schema: "core",
    resolveKnownTags: false,
    stringKeys: true,
    uniqueKeys: false,
    prettyErrors: false,
    lineCounter,
  });
  const lineAt = (offset: number) => lineCounter.linePos(offset).line + firstLine - 1;
  const [problem] = [...document.errors, ...document.warnings];
  if (problem)
    throw invalidLine(lineAt(problem.pos[0]), `not the YAML expected: ${problem.message}`);
  requireDistinctKeys(document, lineAt);
  const fields = plainValue(() => document.toJS({ maxAliasCount: MAX_ALIASES })) ?? {};
  if (typeof fields !== "object" || Array.isArray(fields)) {
    throw invalidLine(firstLine, "expected keys and values, such as `key: value`");
  }
  const lineOf = (...path: PropertyKey[]) => {
    const offset = offsetOf(document.contents, path);
    return offset === undefined ? undefined : lineAt(offset);
  };
  const where: Where = (...path) => {
    const line = lineOf(...path);
    return line === undefined ? "" : `line ${line}: `;
  };
  return { fields: fields as Record<string, unknown>, where, lineOf, document };
}

export function writeYaml(value: Record<string, unknown> | readonly unknown[]): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** Where the last part of a path stands that is there at all. */
function offsetOf(root: ParsedNode | null, path: readonly PropertyKey[]): number | undefined {
  let node = root;
  let offset: number | undefined;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(key) === String(part));
      if (pair === undefined) break;
      offset = pair.key.range[0];
      node = pair.value;
    } else if (isSeq(node)) {
      node = (node.items[Number(part)] ?? null) as ParsedNode | null;
      offset = node?.range[0] ?? offset;
    }
  }
  return offset;
}

/**
 * The library goes into nested values by recursion: tens of thousands of levels overflow Node's
 * stack, and in some places that ends the process. Its parser alone keeps a stack that can be seen.
 *
 * @throws invalid
 */
function requireShallow(yaml: string, firstLine: number): void {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(yaml)) {
    for (const _ of parser.next(lexeme)) {
      // A document that has ended; parseDocument makes it again.
    }
    if (parser.stack.length > MAX_DEPTH) {
      const problem = `not the YAML expected: more than ${MAX_DEPTH} levels of nesting`;
      throw invalidLine(firstLine, problem);
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
