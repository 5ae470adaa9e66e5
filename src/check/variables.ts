/** Whether a prompt uses the variables that its file declares, and no others. */

import type { Place } from "../files/places.ts";
import { type Children, placedTags } from "./composition.ts";
import type { Found } from "./fault.ts";
import type { CheckedPrompt } from "./prompt.ts";
import { shown } from "./secrets.ts";

/** What a prompt includes takes part: whoever compiles it gives values to that too. */
export function checkVariables(prompt: CheckedPrompt, children: Children): Found[] {
  const { content, places } = prompt;
  const { variables: declared } = content;
  if (declared === undefined) return [];
  const found: Found[] = [];
  const { used, isWhole } = variablesUsed(prompt, children);
  for (const [name, { place, from }] of used) {
    if (declared.some((each) => covers(each, name))) continue;
    const by = from === prompt.name ? "" : ` (used by ${shown(from)}, which is included)`;
    const message = `${shown(name)}${by}: expected under variables, or not in the template`;
    found.push({ rule: "undeclared-variable", ...place, message });
  }
  if (!isWhole) return found;
  declared.forEach((name, index) => {
    if ([...used.keys()].some((each) => covers(name, each))) return;
    const message = `${shown(name)}: expected in the template, or not under variables`;
    found.push({ rule: "unused-variable", ...places.ofKey("variables", index), message });
  });
  return found;
}

/** `user` stands for `user.name` too, which Compile takes out of it. */
function covers(declared: string, used: string): boolean {
  return used === declared || used.startsWith(`${declared}.`);
}

interface Used {
  /** Where it stands, or the tag by which it comes. */
  place: Place;
  /** The prompt that uses it. */
  from: string;
}

/** @returns `isWhole` false where something is included that nobody here can look into */
function variablesUsed(
  prompt: CheckedPrompt,
  children: Children,
): { used: Map<string, Used>; isWhole: boolean } {
  const used = new Map<string, Used>();
  const seen = new Set<CheckedPrompt>();
  let isWhole = true;
  const visit = (current: CheckedPrompt, tag?: Place) => {
    if (seen.has(current)) return;
    seen.add(current);
    for (const [name, place] of current.variables) {
      if (!used.has(name)) used.set(name, { place: tag ?? place, from: current.name });
    }
    for (const { name, selector, place } of placedTags(current)) {
      const child = "version" in selector ? undefined : children.get(name);
      if (child === undefined) isWhole = false;
      else visit(child, tag ?? place);
    }
  };
  visit(prompt);
  return { used, isWhole };
}
