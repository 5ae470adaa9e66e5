/** What the registry would refuse of a version, at its place in the file. */

import { compositionTags } from "../core/composition.ts";
import { PromptdError, type Violation } from "../core/errors.ts";
import { isPlaceholderName } from "../core/template/names.ts";
import { LIMITS, Validator } from "../core/validate.ts";
import type { Place, Places } from "../files/places.ts";
import type { Found, Rule } from "./fault.ts";
import type { CheckedPrompt } from "./prompt.ts";

export function checkLimits({ name, content, places }: CheckedPrompt): Found[] {
  const { body, labels = [], tags = [], commitMessage = "" } = content;
  const validator = new Validator();
  validator.name(name);
  validator.body(body);
  validator.labels(labels);
  validator.tags(tags);
  validator.message(commitMessage, "commit_message");
  const included = new Set(compositionTags(body).map(({ raw }) => raw));
  validator.count(included.size, LIMITS.compositionTags, "template");
  return violationsOf(validator).map(({ field, description }) => ({
    rule: ruleOf(field),
    ...placeOf(field, places),
    message: `${field}: ${description}`,
  }));
}

export function checkPlaceholders({ content, places, variables }: CheckedPrompt): Found[] {
  const { body } = content;
  if (body.type === "text") return [];
  return body.template.flatMap((item, index): Found[] => {
    if (item.type !== "placeholder") return [];
    const found = (message: string) => [
      { rule: "placeholder" as const, ...places.ofItem(index), message },
    ];
    if (!isPlaceholderName(item.name)) {
      return found("expected a letter or _, then letters, digits, _ and -");
    }
    if (variables.has(item.name)) {
      return found(`${item.name}: expected another name than that of a variable`);
    }
    return [];
  });
}

function violationsOf(validator: Validator): readonly Violation[] {
  try {
    validator.done();
    return [];
  } catch (thrown) {
    if (thrown instanceof PromptdError) return thrown.violations;
    throw thrown;
  }
}

/** By what a field of CreateVersionRequest begins with. */
const RULE_OF: readonly (readonly [beginning: string, rule: Rule])[] = [
  ["name", "name"],
  ["labels", "label"],
  ["tags", "tag"],
  ["commit_message", "commit-message"],
];

function ruleOf(field: string): Rule {
  return RULE_OF.find(([beginning]) => field.startsWith(beginning))?.[1] ?? "limit";
}

function placeOf(field: string, places: Places): Place {
  const item = /^chat\.items\[(\d+)\]/.exec(field);
  if (item) return places.ofItem(Number(item[1]));
  if (field === "text" || field === "chat.items") return places.ofItem(0);
  const [, key = "", index] = /^(\w+)(?:\[(\d+)\])?/.exec(field) ?? [];
  return places.ofKey(key, ...(index === undefined ? [] : [Number(index)]));
}
