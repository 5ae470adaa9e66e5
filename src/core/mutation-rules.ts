/** What mutations of prompts obey wherever the prompts live. */

import { PromptdError } from "./errors.ts";
import type { NewVersion } from "./ports.ts";
import type { LabelChange, LabelMove, PromptType } from "./prompt.ts";

/** @throws conflict where the prompt has another revision than the caller has seen */
export function requireRevision(
  name: string,
  revision: number,
  expected: number | undefined,
): void {
  if (expected === undefined || expected === revision) return;
  throw new PromptdError(
    "conflict",
    `prompt "${name}" has revision ${revision}, not ${expected}: it was changed since`,
  );
}

/**
 * Whether a version may follow what stands.
 *
 * @param standing the newest version's number and type; null or undefined where there is none
 * @throws conflict, refused
 */
export function requireSuccessor(
  standing: { newest: number | null; type: PromptType } | undefined,
  asked: NewVersion,
): void {
  const newest = standing?.newest ?? 0;
  const { name, expectedLatestVersion: expected = newest } = asked;
  if (expected !== newest) {
    const found = newest === 0 ? "no version" : `version ${newest}`;
    const hoped = expected === 0 ? "none" : expected;
    throw new PromptdError("conflict", `prompt "${name}" has ${found} as its newest, not ${hoped}`);
  }
  if (newest !== 0 && standing?.type !== asked.body.type) {
    throw new PromptdError(
      "refused",
      `prompt "${name}" is a ${standing?.type} prompt: the type cannot change between versions`,
      { refusal: { rule: "type_differs" } },
    );
  }
}

export function moved({ from, to }: LabelChange): boolean {
  return from !== to;
}

/** Sent as moves they undo the changes. */
export function previousMoves(changes: readonly LabelChange[]): LabelMove[] {
  return changes.map(({ label, from }) => ({ label, version: from }));
}
