/** How everybody says what does not exist, and what there is instead. */

import { PromptdError } from "./errors.ts";
import { LATEST_LABEL, type Selector } from "./prompt.ts";

/** How many names a message lists before it counts the rest. */
export const LISTED = 10;

export function promptNotFound({ name }: { name: string }): PromptdError {
  return new PromptdError("not_found", `prompt "${name}" does not exist`);
}

/** @param existing what the prompt has instead, as a text */
export function selectionNotFound(
  { name }: { name: string },
  selector: Selector,
  existing: string,
): PromptdError {
  const missing =
    "version" in selector ? `version ${selector.version}` : `label "${selector.label}"`;
  return new PromptdError("not_found", `prompt "${name}" has no ${missing}; it has ${existing}`);
}

/** @param first the first numbers, ascending, of `count` */
export function versionsText(first: readonly number[], count: number, last: number): string {
  const least = first[0] ?? last;
  if (count === 1) return `version ${least}`;
  if (count === last - least + 1) return `versions ${least} to ${last}`;
  return `versions ${listed(first.map(String), count)}`;
}

/** @param first the first labels in order, of `count` */
export function labelsText(first: readonly string[], count: number): string {
  return first.length === 1 && first[0] === LATEST_LABEL
    ? `${LATEST_LABEL} only`
    : listed(first, count);
}

/** The first names of several, and how many more there are. */
export function listed(names: readonly string[], total = names.length): string {
  const first = names.slice(0, LISTED);
  const rest = total - first.length;
  return rest > 0 ? `${first.join(", ")} and ${rest} more` : first.join(", ");
}
