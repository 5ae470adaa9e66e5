/** Whether the prompts of a folder can be composed of each other, as the registry would. */

import { type CompositionTag, compositionTags } from "../core/composition.ts";
import { PromptdError } from "../core/errors.ts";
import type { PromptBody } from "../core/prompt.ts";
import { composeFile } from "../files/compose.ts";
import type { Place } from "../files/places.ts";
import type { Found } from "./fault.ts";
import { type CheckedPrompt, textsOf } from "./prompt.ts";
import { shown } from "./secrets.ts";

/** The prompts of a folder, by name. */
export interface Children {
  get(name: string): CheckedPrompt | undefined;
  /** Also where its file cannot be read. */
  has(name: string): boolean;
}

/** A tag that a prompt has, where it stands first. */
export interface PlacedTag extends CompositionTag {
  place: Place;
}

const OPENING = "@@@langfusePrompt:";

/** Each different tag once. */
export function placedTags({ content: { body }, places }: CheckedPrompt): PlacedTag[] {
  const tags = new Map<string, PlacedTag>();
  for (const { index, text } of textsOf(body)) {
    let end = 0;
    for (const tag of tagsOfText(text)) {
      const start = text.indexOf(tag.raw, end);
      end = start + tag.raw.length;
      if (!tags.has(tag.raw)) tags.set(tag.raw, { ...tag, place: places.inItem(index, start) });
    }
  }
  return [...tags.values()];
}

export async function checkComposition(
  prompt: CheckedPrompt,
  children: Children,
): Promise<Found[]> {
  const tags = placedTags(prompt);
  const found = brokenTags(prompt);
  const { body } = prompt.content;
  let composes = true;
  for (const tag of tags) {
    if (!children.has(tag.name)) {
      const message = `${shown(tag.name)}: expected a file of this prompt in the folder; without one it has to be in the registry already`;
      found.push({ rule: "missing-child", ...tag.place, message });
    }
    // One tag by itself, so that its place is told.
    const { format } = body;
    const alone: PromptBody = { type: "text", format, config: {}, template: tag.raw };
    const fault = await faultOf(prompt.name, alone, children);
    if (fault === undefined) continue;
    composes = false;
    found.push({ ...fault, ...tag.place });
  }
  const [first] = tags;
  const fault = first && composes ? await faultOf(prompt.name, body, children) : undefined;
  return fault ? [...found, { ...fault, ...(first?.place ?? { line: 1 }) }] : found;
}

/** What begins as a tag and is none: a model would be sent it as text. */
function brokenTags({ content: { body }, places }: CheckedPrompt): Found[] {
  return textsOf(body).flatMap(({ index, text }) => {
    const raws = new Set(tagsOfText(text).map(({ raw }) => raw));
    const starts = [...text.matchAll(new RegExp(OPENING, "g"))].map((match) => match.index);
    return starts
      .filter((start) => !raws.has(text.slice(start, endOfTag(text, start))))
      .map((start) => ({
        rule: "composition-tag" as const,
        ...places.inItem(index, start),
        message: `expected ${OPENING}name=NAME|label=LABEL@@@ or …|version=NUMBER@@@; this stays as text`,
      }));
  });
}

function endOfTag(text: string, start: number): number {
  const close = text.indexOf("@@@", start + OPENING.length);
  return close === -1 ? start : close + 3;
}

function tagsOfText(template: string): CompositionTag[] {
  return compositionTags({ type: "text", format: "mustache", config: {}, template });
}

async function faultOf(
  name: string,
  body: PromptBody,
  children: Children,
): Promise<Pick<Found, "rule" | "message"> | undefined> {
  const { format } = body;
  try {
    await composeFile(name, body, (child, selector) => {
      const known = "version" in selector ? undefined : children.get(child);
      // Nobody here knows what an old version holds, nor one that has no file.
      return known?.content.body ?? { type: "text", format, config: {}, template: "" };
    });
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof PromptdError)) throw thrown;
    const rule = thrown.refusal?.rule === "circular" ? "cycle" : "composition";
    return { rule, message: thrown.message };
  }
}
