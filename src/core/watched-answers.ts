/** What a watch needs to know of answers, and of what may have changed them. */

import type { ChangeTail } from "./cache-ports.ts";
import { sha256 } from "./content-hash.ts";
import { PromptdError } from "./errors.ts";
import type { Question, Resolved } from "./resolver.ts";
import type { StandingRollout } from "./rollout/rollout.ts";

/** What a question led to now. */
export type Outcome = Resolved | PromptdError;

/** What there is to tell of a question. */
export interface Told {
  outcome: Outcome;
  /** What splits the label's callers, where a watcher is told of that: then the outcome is control's. */
  split?: Split;
}

/** A rollout, and what the callers of each of its arms are given, in their order. */
export interface Split {
  rollout: StandingRollout;
  arms: readonly Outcome[];
}

/** What nobody can vouch for now is no news: whoever watches keeps what was told before. */
export function isDoubtful({ outcome, split }: Told): boolean {
  return [outcome, ...(split?.arms ?? [])].some((each) => {
    if (!(each instanceof PromptdError)) return each.stale;
    return each.code !== "not_found" && each.code !== "refused";
  });
}

/** Which prompts an answer is made of; undefined where nobody can say. */
export function namesOf(
  question: Question,
  { outcome, split }: Told,
): ReadonlySet<string> | undefined {
  const names = new Set<string>();
  for (const each of [outcome, ...(split?.arms ?? [])]) {
    const some = namesOfOne(question, each);
    if (some === undefined) return undefined;
    for (const name of some) names.add(name);
  }
  return names;
}

function namesOfOne({ name }: Question, outcome: Outcome): ReadonlySet<string> | undefined {
  if (outcome instanceof PromptdError) {
    return outcome.code === "not_found" ? new Set([name]) : undefined;
  }
  const { answer, rollout } = outcome.choice;
  // The arm may lack a prompt that it includes.
  if (rollout?.unresolvedArm !== undefined) return undefined;
  return new Set([name, ...answer.components.map((component) => component.name)]);
}

/** The same for answers that are told as one. */
export function fingerprint({ outcome, split }: Told): string {
  if (split === undefined) return fingerprintOfOne(outcome);
  const { rollout, arms } = split;
  const told = [rollout.revision, ...[outcome, ...arms].map(fingerprintOfOne)];
  return sha256(JSON.stringify(told));
}

function fingerprintOfOne(outcome: Outcome): string {
  if (outcome instanceof PromptdError) return outcome.code;
  const { answer, reason, rollout } = outcome.choice;
  const { version, components } = answer;
  const { version: number, contentHash, revision, updatedAt } = version;
  const parts = components.map((part) => [part.name, part.version, part.contentHash]);
  const state = [number, contentHash, revision, updatedAt.getTime()];
  return sha256(JSON.stringify([...state, parts, reason, rollout]));
}

/** How far back a watcher may go on from, in changes, and how many are read at once. */
const LONGEST_WAY_BACK = 10_000;
const PAGE = 500;

/** The prompts of a project that changed behind a position; undefined where nobody can tell, or the history is another one. */
export async function promptsChangedSince(
  tail: Pick<ChangeTail, "from">,
  project: string,
  after: { revision: number; hash: string | undefined },
): Promise<Set<string> | undefined> {
  const names = new Set<string>();
  let from = after.revision;
  let hash = after.hash;
  for (let read = 0; read < LONGEST_WAY_BACK; read += PAGE) {
    const page = await tail.from(from, PAGE).catch(() => []);
    // Each page begins with the change that the one before ended with.
    if (page[0]?.change.revision !== from) return undefined;
    if (hash !== undefined && page[0].hash !== hash) return undefined;
    hash = page.at(-1)?.hash;
    for (const { change } of page.slice(1)) {
      if (change.project === project) names.add(change.name);
      from = change.revision;
    }
    if (page.length < PAGE) return names;
  }
  return undefined;
}
