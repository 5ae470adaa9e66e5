/** Changes values in YAML that people write, and leaves the rest of it as it is written. */

import { isDeepStrictEqual } from "node:util";
import {
  Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  Pair,
  visit,
  YAMLMap,
  type YAMLSeq,
} from "yaml";
import { canonicalJson } from "../core/content-hash.ts";
import type { JsonValue } from "../core/prompt.ts";
import { writeYaml, type YamlKeys } from "./yaml.ts";

/**
 * New keys go to the end. A layout that is beyond this, such as keys in braces or an
 * anchor in what is replaced, gives YAML that says something else: read it again.
 *
 * @param yaml what the document was read from; the document is used up
 * @param changes new values of keys; undefined takes the key out
 */
export function editYaml(
  yaml: string,
  { document }: Pick<YamlKeys, "document">,
  changes: ReadonlyMap<string, JsonValue | undefined>,
): string {
  const lineBreak = /^[^\n]*\r\n/.test(yaml) ? "\r\n" : "\n";
  const added = new Map(changes);
  let edited = "";
  let from = 0;
  for (const pair of isMap(document.contents) ? document.contents.items : []) {
    const key = String(pair.key);
    if (!added.delete(key)) continue;
    const value = changes.get(key);
    const start = pair.key.range[0];
    const end = pair.value?.range[1] ?? pair.key.range[1];
    edited += yaml.slice(from, start);
    from = value === undefined ? endOfLine(yaml, end) : end;
    if (value === undefined) continue;
    const source = yaml.slice(start, end);
    const written = writePair(key, editedNode(document, pair.value, value), source);
    edited += (source.endsWith("\n") ? written : written.slice(0, -1)).replaceAll("\n", lineBreak);
  }
  const fields = [...added].filter(([, value]) => value !== undefined);
  const end = fields.length === 0 ? "" : writeYaml(Object.fromEntries(fields));
  return edited + yaml.slice(from) + end.replaceAll("\n", lineBreak);
}

/** Behind the line break of the line in which an offset lies, or at the offset where a line begins there. */
function endOfLine(text: string, offset: number): number {
  if (text[offset - 1] === "\n") return offset;
  const lineBreak = text.indexOf("\n", offset);
  return lineBreak === -1 ? text.length : lineBreak + 1;
}

/** In the manner of the source, as far as the library has a choice. Ends in a line break. */
function writePair(key: string, value: Node, source: string): string {
  // What stands behind the value is still there.
  value.comment = null;
  const map = new YAMLMap();
  map.items.push(new Pair(key, value));
  return new Document(map).toString({
    lineWidth: 0,
    indent: /\n( +)\S/.exec(source)?.[1]?.length ?? 2,
    indentSeq: !/^- /m.test(source),
    flowCollectionPadding: /[[{] /.test(source),
  });
}

/** The node with another value; nodes in it whose value stays are left, with their comments. */
function editedNode(document: Document, node: unknown, value: JsonValue): Node {
  if (!isNode(node) || hasAlias(node)) return newNode(document, value);
  if (isDeepStrictEqual(node.toJS(document), value)) return node;
  if (isMap(node) && typeof value === "object" && value !== null && !Array.isArray(value)) {
    return editedMap(document, node, value);
  }
  if (isSeq(node) && Array.isArray(value)) return editedList(document, node, value);
  if (isScalar(node) && (typeof value !== "object" || value === null)) {
    node.value = value;
    // How the number was written that stood there.
    delete node.format;
    delete node.minFractionDigits;
    return node;
  }
  return newNode(document, value);
}

function editedMap(document: Document, node: YAMLMap, value: { [key: string]: JsonValue }): Node {
  const added = new Map(Object.entries(value));
  node.items = node.items.filter((pair) => {
    const key = String(pair.key);
    const now = added.get(key);
    if (now === undefined) return false;
    added.delete(key);
    pair.value = editedNode(document, pair.value, now);
    return true;
  });
  for (const [key, now] of added) node.items.push(new Pair(key, newNode(document, now)));
  return node;
}

/** Items are known again by their value, and else by their place where none came or went. */
function editedList(document: Document, node: YAMLSeq, value: readonly JsonValue[]): Node {
  const old = node.items;
  const byValue = new Map<string, unknown[]>();
  for (const item of old) {
    const key = canonicalJson(isNode(item) ? item.toJS(document) : item);
    const alike = byValue.get(key);
    if (alike === undefined) byValue.set(key, [item]);
    else alike.push(item);
  }
  const kept = value.map((now) => byValue.get(canonicalJson(now))?.shift());
  const taken = new Set(kept);
  node.items = value.map((now, index) => {
    const inPlace = old.length === value.length && !taken.has(old[index]) ? old[index] : undefined;
    return kept[index] ?? editedNode(document, inPlace, now);
  });
  return node;
}

function newNode(document: Document, value: JsonValue): Node {
  return document.createNode(value, { aliasDuplicateObjects: false });
}

function hasAlias(node: Node): boolean {
  let found = false;
  visit(node, {
    Alias: () => {
      found = true;
      return visit.BREAK;
    },
  });
  return found;
}
