/** `.prompt`: a template under YAML front matter, in the manner of Dotprompt. */

import type { PromptBody } from "../core/prompt.ts";
import { firstMarkerLine, readChat, rewriteChat, writeChat } from "./chat-markup.ts";
import { type FrontMatter, readFrontMatter, writeFrontMatter } from "./front-matter.ts";
import { changedKeys, type FileContent, fileContent, headerKeys, readHeader } from "./header.ts";
import { invalidLine, withoutByteOrderMark } from "./text.ts";
import { editYaml } from "./yaml-edit.ts";

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

/**
 * The file with another content, changed only where it says something else: front
 * matter keeps its comments, and the messages around those that changed their bytes.
 */
export function rewritePrompt(text: string, content: FileContent): string {
  const frontMatter = readFrontMatter(withoutByteOrderMark(text));
  if (frontMatter === undefined) return rewriteBare(content);
  const { yaml, body } = frontMatter;
  const head = text.slice(0, text.length - body.length);
  const opening = head.slice(0, head.indexOf("\n") + 1);
  const closing = head.slice(opening.length + yaml.length);
  const lineBreak = opening.endsWith("\r\n") ? "\r\n" : "\n";
  const changes = changedKeys(readPrompt(text), content);
  return [
    opening,
    editYaml(yaml, frontMatter, changes),
    closing.endsWith("\n") ? closing : closing + lineBreak,
    rewriteBody(frontMatter, content.body, lineBreak),
  ].join("");
}

/** A file without front matter stays one while a template is all there is to say. */
function rewriteBare(content: FileContent): string {
  const { body } = content;
  const saysTypeOnly = Object.keys(headerKeys(content)).length === 1;
  return body.type === "text" && saysTypeOnly ? body.template : writePrompt(content);
}

function rewriteBody({ fields, body }: FrontMatter, to: PromptBody, lineBreak: string): string {
  if (to.type === "text") return to.template;
  const { type } = fields;
  return type === "chat" ? rewriteChat(body, to.template) : writeChat(to.template, lineBreak);
}
