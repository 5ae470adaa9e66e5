/** What a check finds: the rules, and a fault of one. */

import type { Place } from "../files/places.ts";

export type Severity = "error" | "warning";

/** Every rule with what it asks for. An error is what would be refused, or harm; a warning can be meant so. */
export const RULES = {
  "unreadable-file": ["error", "a file reads as a prompt file"],
  "same-prompt": ["error", "a prompt has one file, on file systems that ignore case too"],
  name: ["error", "a name is one that the registry takes"],
  label: ["error", "a label is one that the registry takes"],
  tag: ["error", "a tag is one that the registry takes"],
  "commit-message": ["error", "a commit message is one that the registry takes"],
  limit: ["error", "a prompt keeps the limits of the contract"],
  syntax: ["error", "a template parses"],
  placeholder: ["error", "a placeholder has a name of its own"],
  section: ["warning", "a template has no sections or partials, which promptd does not run"],
  "unknown-tag": ["warning", "what stands in {{ }} is a variable"],
  "undeclared-variable": [
    "error",
    "a variable that is used is declared, where a file declares any",
  ],
  "unused-variable": ["warning", "a variable that is declared is used"],
  "config-schema": ["error", "a config keeps the JSON Schema"],
  "test-case": ["error", "a test case is one that promptd test can run"],
  secret: ["error", "a file holds no secret"],
  tokens: ["warning", "a template is estimated below validate.max_tokens"],
  "missing-child": ["warning", "a prompt that is included has a file in the folder"],
  "composition-tag": ["warning", "a composition tag is complete"],
  cycle: ["error", "a prompt does not include itself"],
  composition: ["error", "prompts can be composed: of one format, texts, within depth and size"],
} as const satisfies Record<string, readonly [Severity, string]>;

export type Rule = keyof typeof RULES;

/** A rule that does not hold at a place. */
export interface Found extends Place {
  rule: Rule;
  /** What was expected. */
  message: string;
}

export interface Fault extends Found {
  severity: Severity;
  /** Relative to the folder of prompts, with `/` between folders. */
  file: string;
}
