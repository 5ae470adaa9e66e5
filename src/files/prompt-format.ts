/** `.prompt`: a template under YAML front matter, in the manner of Dotprompt. */

import { firstMarkerLine, readChat, writeChat } from "./chat-markup.ts";
import { readFrontMatter, writeFrontMatter } from "./front-matter.ts";
import { type FileContent, fileContent, headerKeys, readHeader } from "./header.ts";
import { invalidLine, withoutByteOrderMark } from "./text.ts";

/**
 * A file without front matter is a text template as a whole. A text that holds
 * a chat's markers must say `type: text`, because it rather is a chat whose
 * type was forgotten.
 *
 * @throws invalid with the line
 */
export function readPrompt(text: string): FileContent {
  const frontMatter = readFrontMatter(withoutByteOrderMark(text));
  const { fields, where, body, bodyLine } = frontMatter ?? {
    fields: {},
    where: () => "",
    body: text,
    bodyLine: 1,
  };
  const header = readHeader(fields, where);
  if (header.type === "chat") return fileContent(header, readChat(body, bodyLine));
  const marker = header.type === undefined ? firstMarkerLine(body, bodyLine) : undefined;
  if (marker !== undefined) {
    throw invalidLine(
      marker,
      "a marker of a chat: expected `type: chat` in the front matter, or `type: text` to keep the line as text",
    );
  }
  return fileContent(header, body);
}

export function writePrompt(content: FileContent): string {
  const { body } = content;
  const template = body.type === "text" ? body.template : writeChat(body.template);
  return writeFrontMatter(headerKeys(content)) + template;
}
