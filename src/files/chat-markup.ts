/**
 * Chat messages in a `.prompt` file. A line `{{role "user"}}` starts a message,
 * a line `{{placeholder "history"}}` is a placeholder.
 *
 * A message's content is what stands between its marker's line and the next
 * marker's, without the last line break. So the content `a` and the content
 * `a\n` are told apart, and what was written reads back the same.
 */

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

/**
 * @param firstLine the line of the file with which the body begins
 * @throws invalid with the line, for text outside of a message and for a marker
 *   that shares its line
 */
export function readChat(body: string, firstLine: number): ChatItem[] {
  const items: ChatItem[] = [];
  let open: { role: string; lineBreak: string; start: number } | undefined;
  const close = (end: number) => {
    if (open === undefined) return;
    const content = body.slice(open.start, end);
    const trimmed = content.endsWith(open.lineBreak)
      ? content.slice(0, -open.lineBreak.length)
      : content;
    items.push({ type: "chatmessage", role: open.role, content: trimmed });
    open = undefined;
  };
  for (const line of linesOf(body, firstLine)) {
    const [, kind, name = "", carriageReturn = ""] = MARKER.exec(line.text) ?? [];
    if (kind === undefined) {
      requireContent(line, open !== undefined);
      continue;
    }
    close(line.start);
    if (kind === "placeholder") items.push({ type: "placeholder", name });
    else open = { role: name, lineBreak: `${carriageReturn}\n`, start: line.end };
  }
  close(body.length);
  if (items.length === 0) {
    throw new PromptdError("invalid", 'the chat has no message: expected a line {{role "user"}}');
  }
  return items;
}

/** The inverse of `readChat`, for contents and names that hold no marker. */
export function writeChat(items: readonly ChatItem[]): string {
  return items
    .map((item) =>
      item.type === "placeholder"
        ? `{{placeholder "${item.name}"}}\n`
        : `{{role "${item.role}"}}\n${item.content}\n`,
    )
    .join("");
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
