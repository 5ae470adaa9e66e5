/** Three-way merge of a prompt: by lines, with markers where both sides changed the same. */

import { diff3Merge, diffComm } from "node-diff3";
import { canonicalJson } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import type { JsonValue, PromptBody } from "../core/prompt.ts";
import { readChat, writeChat } from "../files/chat-markup.ts";
import type { Content } from "./contents.ts";

const LOCAL = "<<<<<<< local";
const BETWEEN = "=======";
const REMOTE = ">>>>>>> remote";

export interface Merged {
  content: Content;
  /** The template holds markers, about which somebody has to decide. */
  conflicts: boolean;
}

/**
 * @param base what both went on from; undefined where nobody knows: then all that differs is a conflict
 * @throws refused for what has no lines to put markers around
 */
export function merge(base: Content | undefined, local: Content, remote: Content): Merged {
  const bodies = { base: base?.body, local: local.body, remote: remote.body };
  if (local.body.type !== remote.body.type) throw undecidable("one is a text, the other a chat");
  const format = pick("format", base?.body.format, local.body.format, remote.body.format);
  const config = pick("config", base?.body.config, local.body.config, remote.body.config);
  const sameType = bodies.base?.type === local.body.type ? bodies.base : undefined;
  const merged = mergeTexts(sameType && textOf(sameType), textOf(local.body), textOf(remote.body));
  const common = { format, config };
  const body: PromptBody =
    local.body.type === "text"
      ? { type: "text", template: merged.text, ...common }
      : { type: "chat", template: chatOf(merged.text), ...common };
  const tags = mergeTags(base?.tags ?? [], local.tags, remote.tags);
  return { content: { body, tags }, conflicts: merged.conflicts };
}

/** Whether a merge is not decided yet. A line of `=======` alone may well belong to a text. */
export function holdsMarkers(body: PromptBody): boolean {
  return textOf(body)
    .split(/\r?\n/)
    .some((line) => line === LOCAL || line === REMOTE);
}

function mergeTexts(
  base: string | undefined,
  local: string,
  remote: string,
): { text: string; conflicts: boolean } {
  const regions =
    base === undefined
      ? compareTexts(local, remote)
      : diff3Merge(linesOf(local), linesOf(base), linesOf(remote), { excludeFalseConflicts: true });
  const lines = regions.flatMap(({ ok, conflict }) =>
    conflict ? [LOCAL, ...conflict.a, BETWEEN, ...conflict.b, REMOTE] : (ok ?? []),
  );
  return { text: lines.join("\n"), conflicts: regions.some(({ conflict }) => conflict) };
}

function compareTexts(
  local: string,
  remote: string,
): { ok?: string[]; conflict?: { a: string[]; b: string[] } }[] {
  return diffComm(linesOf(local), linesOf(remote)).map((region) =>
    region.common ? { ok: region.common } : { conflict: { a: region.buffer1, b: region.buffer2 } },
  );
}

function linesOf(text: string): string[] {
  return text.split("\n");
}

function textOf(body: PromptBody): string {
  return body.type === "text" ? body.template : writeChat(body.template);
}

function chatOf(text: string) {
  try {
    return readChat(text, 1);
  } catch {
    throw undecidable("both changed whose message it is");
  }
}

function pick<Value extends JsonValue>(
  what: string,
  base: Value | undefined,
  local: Value,
  remote: Value,
): Value {
  const [before, here, there] = [base, local, remote].map((value) =>
    value === undefined ? undefined : canonicalJson(value),
  );
  if (here === there || there === before) return local;
  if (here === before) return remote;
  throw undecidable(`both changed the ${what}`);
}

/** What either side has added, without what either has taken away. */
function mergeTags(
  base: readonly string[],
  local: readonly string[],
  remote: readonly string[],
): string[] {
  const all = new Set([...local, ...remote]);
  return [...all].filter(
    (tag) => !base.includes(tag) || (local.includes(tag) && remote.includes(tag)),
  );
}

function undecidable(why: string): PromptdError {
  const message = `cannot be merged: ${why}; take one side, or edit the file and take it`;
  return new PromptdError("refused", message);
}
