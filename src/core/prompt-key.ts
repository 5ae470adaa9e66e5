/** Texts by which prompts, and what is asked of them, are known in maps and caches. */

import type { PromptKey } from "./cache-ports.ts";

/** Keeps projects apart. */
export function promptText({ project, name }: Pick<PromptKey, "project" | "name">): string {
  return `${project}\u0000${name}`;
}

/** Keeps label `3` apart from version 3. */
export function selectorText({ selector }: Pick<PromptKey, "selector">): string {
  return "version" in selector ? `v${selector.version}` : `l${selector.label}`;
}

export function keyText(key: PromptKey): string {
  return `${key.project}\u0000${selectorText(key)}\u0000${key.name}`;
}
