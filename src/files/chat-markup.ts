/**
 * Chat messages in a `.prompt` file. A line `{{role "user"}}` starts a message,
 * a line `{{placeholder "history"}}` is a placeholder.
 *
 * A message's content is what stands between its marker's line and the next
 * marker's, without the last line break. So the content `a` and the content
 * `a\n` are told apart, and what was written reads back the same.
 */

import { isDeepStrictEqual } from "node:util";
import { PromptdError } from "../core/errors.ts";
import type { ChatItem } from "../core/prompt.ts";
import { invalidLine } from "./text.ts";

const MARKER = /^\{\{[ \t]*(role|placeholder)[ \t]+"([^"\\]*)"[ \t]*\}\}[ \t]*(\r?)$/;
const MARKER_ANYWHERE = /\{\{[ \t]*(?:role|placeholder)[ \t]+["']/;

interface Line {
  text: string;
  number: number;
  /** Offset of its first character. */
  start: number;
  /** Offset behind its line break. */
  end: number;
}

/** An item, and where it stands in the body: from its marker up to the next one. */
interface PlacedItem {
  item: ChatItem;
  /** Of its marker. */
  lineBreak: string;
  /** Of its marker; what it holds begins below. */
  line: number;
  start: number;
  end: number;
}

/**
 * @param firstLine the line of the file with which the body begins
 * @throws invalid with the line, for text outside of a message and for a marker
 *   that shares its line
 */
export function readChat(body: string, firstLine: number): ChatItem[] {
  return placedItems(body, firstLine).map(({ item }) => item);
}

/** The lines of the markers, in the order of the items. @throws as `readChat` does */
export function chatLines(body: string, firstLine: number): number[] {
  return placedItems(body, firstLine).map(({ line }) => line);
}

function placedItems(body: string, firstLine: number): PlacedItem[] {
  const items: PlacedItem[] = [];
  let open: { marker: Line; kind: string; name: string; lineBreak: string } | undefined;
  const close = (end: number) => {
    if (open === undefined) return;
    const { marker, kind, name, lineBreak } = open;
    const content = body.slice(marker.end, end);
    const trimmed = content.endsWith(lineBreak) ? content.slice(0, -lineBreak.length) : content;
    const item: ChatItem =
      kind === "placeholder"
        ? { type: "placeholder", name }
        : { type: "chatmessage", role: name, content: trimmed };
    items.push({ item, lineBreak, line: marker.number, start: marker.start, end });
  };
  for (const line of linesOf(body, firstLine)) {
    const [, kind, name = "", carriageReturn = ""] = MARKER.exec(line.text) ?? [];
    if (kind === undefined) {
      requireContent(line, open?.kind === "role");
      continue;
    }
    close(line.start);
    open = { marker: line, kind, name, lineBreak: `${carriageReturn}\n` };
  }
  close(body.length);
  if (items.length === 0) {
    throw new PromptdError("invalid", 'the chat has no message: expected a line {{role "user"}}');
  }
  return items;
}

/** The inverse of `readChat`, for contents and names that hold no marker. */
export function writeChat(items: readonly ChatItem[], lineBreak = "\n"): string {
  return items
    .map((item) =>
      item.type === "placeholder"
        ? `{{placeholder "${item.name}"}}${lineBreak}`
        : `{{role "${item.role}"}}${lineBreak}${item.content}${lineBreak}`,
    )
    .join("");
}

/**
 * The body with other items. Those that it begins and ends with as before keep their
 * bytes, and new markers have the line break of the first one.
 */
export function rewriteChat(body: string, items: readonly ChatItem[]): string {
  const old = placedItems(body, 1);
  const most = Math.min(old.length, items.length);
  const same = (some?: PlacedItem, other?: ChatItem) => isDeepStrictEqual(some?.item, other);
  let first = 0;
  while (first < most && same(old[first], items[first])) first++;
  let last = 0;
  while (last < most - first && same(old.at(-1 - last), items.at(-1 - last))) last++;

  const lineBreak = old[0]?.lineBreak;
  const before = body.slice(0, old[first - 1]?.end ?? old[0]?.start);
  const between = writeChat(items.slice(first, items.length - last), lineBreak);
  const after = last === 0 ? "" : body.slice(old.at(-last)?.start);
  const isCutOff = between !== "" && before !== "" && !before.endsWith("\n");
  return before + (isCutOff ? (lineBreak ?? "") : "") + between + after;
}

/** The line of the first marker, in a text that may have been meant as a chat. */
export function firstMarkerLine(body: string, firstLine: number): number | undefined {
  if (!MARKER_ANYWHERE.test(body)) return undefined;
  for (const line of linesOf(body, firstLine)) {
    if (MARKER.test(line.text)) return line.number;
  }
  return undefined;
}

function* linesOf(body: string, firstLine: number): Generator<Line> {
  let number = firstLine;
  for (let start = 0; start < body.length; number++) {
    const lineBreak = body.indexOf("\n", start);
    const end = lineBreak === -1 ? body.length : lineBreak + 1;
    yield { text: body.slice(start, lineBreak === -1 ? end : lineBreak), number, start, end };
    start = end;
  }
}

/** Refuses a line that is no marker and cannot be content either. */
function requireContent(line: Line, inMessage: boolean): void {
  if (MARKER_ANYWHERE.test(line.text)) {
    throw invalidLine(line.number, `a marker stands alone on its line, as in {{role "user"}}`);
  }
  if (!inMessage && line.text.trim() !== "") {
    throw invalidLine(
      line.number,
      'this text belongs to no message: expected a line {{role "user"}} before it',
    );
  }
}
