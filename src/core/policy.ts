/** Label policy: who may move which label of a project. */

import { PromptdError } from "./errors.ts";
import { ANONYMOUS } from "./keys.ts";
import type { Caller } from "./ports.ts";
import type { LabelChange } from "./prompt.ts";

/** What a label asks of those who move it: nothing, scope `release`, or that and a second key's approval. */
export type LabelProtection = "none" | "protected" | "approval";

/** A label that is protected in every prompt of a project. */
export interface LabelPolicy {
  label: string;
  protection: Exclude<LabelProtection, "none">;
}

/** Labels of one prompt that move once another key approves it. */
export interface PendingChange {
  /** A UUID (version 7), so that ids are in the order of time. */
  id: string;
  project: string;
  /** The prompt. */
  name: string;
  /** All that were asked for, and where they stood then. */
  moves: readonly LabelChange[];
  reason: string;
  author: string;
  createdAt: Date;
}

/**
 * Whether a caller may move labels under these policies.
 *
 * @returns the labels among them that need approval first
 * @throws forbidden
 */
export function heedPolicies(
  policies: readonly LabelPolicy[],
  scopes: Caller["scopes"] = [],
): string[] {
  const [first] = policies;
  if (first !== undefined && !scopes.includes("release")) {
    const message = `label "${first.label}" is protected: moving it needs a key with scope release`;
    throw new PromptdError("forbidden", message);
  }
  return policies.filter(({ protection }) => protection === "approval").map(({ label }) => label);
}

/** @throws refused for a caller who cannot be told apart from the one to approve */
export function requireAuthor(actor: string, label: string): void {
  if (actor !== ANONYMOUS) return;
  throw new PromptdError(
    "refused",
    `label "${label}" needs the approval of a second key, and without keys nobody can be told apart; make keys first`,
  );
}

/** @throws forbidden for the author's own approval, or one of nobody in particular */
export function requireApprover(actor: string, { author }: PendingChange): void {
  if (actor !== author && actor !== ANONYMOUS) return;
  const message = "a pending change is approved by another key than its author's";
  throw new PromptdError("forbidden", message);
}
