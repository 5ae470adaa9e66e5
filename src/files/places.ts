/** Where the parts of a prompt file stand, for those who tell what is wrong with them. */

import { extname } from "node:path/posix";
import type { PromptBody } from "../core/prompt.ts";
import { chatLines } from "./chat-markup.ts";
import { readFrontMatter } from "./front-matter.ts";
import { jsonLines } from "./json-lines.ts";
import { parseJson, withoutByteOrderMark } from "./text.ts";

/** Both from 1; columns count UTF-16 code units, as editors do. Without a column where escapes hide it. */
export interface Place {
  line: number;
  column?: number;
}

export interface Places {
  /** Of a key beside the template, as far as its path is there; else of the file's beginning. */
  ofKey(...path: PropertyKey[]): Place;
  /** Of an item of a chat. The template of a text counts as one. */
  ofItem(index: number): Place;
  /** Of what stands in an item's text. @param offset in code units */
  inItem(index: number, offset: number): Place;
}

/** @param body what was read from the file, which is sound */
export function placesOf(path: string, text: string, body: PromptBody): Places {
  switch (extname(path)) {
    case ".json":
      return jsonPlaces(text);
    case ".prompt":
      return promptPlaces(text, body);
    default:
      return plainPlaces(body);
  }
}

/**
 * Finds line and column of offsets in a text: one look at the text for any number of them.
 *
 * @param firstLine the line of the file with which it begins
 */
export function placeFinder(text: string, firstLine = 1): (offset: number) => Place {
  const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  return (offset) => {
    let low = 0;
    for (let high = starts.length; high - low > 1; ) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return { line: firstLine + low, column: offset - (starts[low] ?? 0) + 1 };
  };
}

function plainPlaces(body: PromptBody): Places {
  const placeOf = placeFinder(textOf(body, 0));
  return {
    ofKey: () => ({ line: 1 }),
    ofItem: () => ({ line: 1 }),
    inItem: (_, offset) => placeOf(offset),
  };
}

function promptPlaces(text: string, body: PromptBody): Places {
  const frontMatter = readFrontMatter(withoutByteOrderMark(text));
  if (frontMatter === undefined) return plainPlaces(body);
  const { bodyLine, lineOf } = frontMatter;
  const markers = body.type === "chat" ? chatLines(frontMatter.body, bodyLine) : [];
  const lineOfItem = (index: number) => markers[index] ?? bodyLine;
  const below = body.type === "chat" ? 1 : 0;
  const finders = new Map<number, ReturnType<typeof placeFinder>>();
  const finderOf = (index: number) => {
    const known = finders.get(index);
    const finder = known ?? placeFinder(textOf(body, index), lineOfItem(index) + below);
    if (known === undefined) finders.set(index, finder);
    return finder;
  };
  return {
    ofKey: (...path) => ({ line: lineOf(...path) ?? 1 }),
    ofItem: (index) => ({ line: lineOfItem(index) }),
    inItem: (index, offset) => finderOf(index)(offset),
  };
}

/** A text stands on one line of JSON, however many it holds. */
function jsonPlaces(text: string): Places {
  const lineOf = jsonLines(text);
  const isList = Array.isArray(parseJson(text));
  const ofItem = (index: number) => ({
    line: isList ? lineOf(index) : lineOf("template", index),
  });
  return {
    ofKey: (...path) => ({ line: isList ? 1 : lineOf(...path) }),
    ofItem,
    inItem: (index) => ({
      line: isList ? lineOf(index, "content") : lineOf("template", index, "content"),
    }),
  };
}

function textOf({ template }: PromptBody, index: number): string {
  if (typeof template === "string") return template;
  const item = template[index];
  return item?.type === "chatmessage" ? item.content : "";
}
