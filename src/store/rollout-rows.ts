import type { Selectable } from "kysely";
import type { RolloutFate } from "../core/ports.ts";
import { requireRolloutRevision } from "../core/rollout/intent.ts";
import {
  outlineOf,
  type Rollout,
  type RolloutChange,
  type RolloutState,
  type StandingRollout,
} from "../core/rollout/rollout.ts";
import { rolloutFromJson, rolloutToJson } from "../core/rollout/stored.ts";
import type { Connection } from "./database.ts";
import type { PromptKey } from "./prompt-key.ts";
import type { Tables } from "./schema.ts";

export type RolloutRow = Selectable<Tables["rollouts"]>;

/** The states of those that split anybody. */
export const ONGOING: readonly RolloutState[] = ["running", "paused"];

/** What comes into the place of a label's rollout; nothing, where one is deleted. */
export interface RolloutReplacement {
  label: string;
  /** Absent also where what was there cannot be read. */
  previous?: Rollout;
  current?: Rollout;
}

export function toRolloutChange({ label, previous, current }: RolloutReplacement): RolloutChange {
  return {
    label,
    ...(previous && { previous: outlineOf(previous) }),
    ...(current && { current: outlineOf(current) }),
  };
}

/** @throws internal where it is not what a sound rollout was made into */
export function toRollout({ rollout, revision, actor, reason, changed_at }: RolloutRow) {
  const last = { revision, actor, reason, changedAt: new Date(changed_at) };
  return { ...rolloutFromJson(rollout), ...last } satisfies StandingRollout;
}

/** As `toRollout`; undefined for what cannot be read. */
export function readableRollout(row: RolloutRow): StandingRollout | undefined {
  try {
    return toRollout(row);
  } catch {
    return undefined;
  }
}

/** Writes what a change makes of a prompt's rollouts. */
export async function replaceRollouts(
  db: Connection,
  prompt: PromptKey,
  replacements: readonly RolloutReplacement[],
  last: Pick<RolloutRow, "revision" | "actor" | "reason" | "changed_at">,
): Promise<void> {
  for (const { label, current } of replacements) {
    await db
      .deleteFrom("rollouts")
      .where("project", "=", prompt.project)
      .where("name", "=", prompt.name)
      .where("label", "=", label)
      .execute();
    if (current === undefined) continue;
    const what = { state: current.state, rollout: rolloutToJson(current) };
    await db
      .insertInto("rollouts")
      .values({ ...prompt, label, ...what, ...last })
      .execute();
  }
}

export function findRolloutRow(
  db: Connection,
  { project, name }: PromptKey,
  label: string,
): Promise<RolloutRow | undefined> {
  return db
    .selectFrom("rollouts")
    .selectAll()
    .where("project", "=", project)
    .where("name", "=", name)
    .where("label", "=", label)
    .executeTakeFirst();
}

/** @throws conflict where one of the labels has no ongoing rollout of this revision */
export async function requireOngoing(
  db: Connection,
  prompt: PromptKey,
  { labels, revision }: { labels: readonly string[]; revision: number },
): Promise<void> {
  const rows = await ongoingRows(db, prompt, labels);
  for (const label of labels) {
    const row = rows.find((each) => each.label === label);
    requireRolloutRevision({ name: prompt.name, label }, row?.revision ?? 0, revision);
  }
}

/**
 * What becomes of the ongoing rollouts of labels that a call names, for the change of that
 * call. One that shall be promoted and has changed meanwhile is aborted, since its label has
 * moved. One that cannot be read goes, so that nothing keeps a label from being moved.
 */
export async function endingRollouts(
  db: Connection,
  prompt: PromptKey,
  labels: readonly string[],
  fate: RolloutFate = "abort",
): Promise<RolloutReplacement[]> {
  if (fate === "keep") return [];
  const rows = await ongoingRows(db, prompt, labels);
  return rows.map((row) => {
    const { label } = row;
    const previous = readableRollout(row);
    if (previous === undefined) return { label };
    const end: Pick<Rollout, "state" | "promotedArm"> =
      fate === "abort" || fate.revision !== row.revision
        ? { state: "aborted" }
        : { state: "promoted", promotedArm: fate.promotedArm };
    return { label, previous, current: { ...previous, ...end } };
  });
}

/** The labels of those that were not promoted. */
export function abortedLabels(replacements: readonly RolloutReplacement[]): string[] {
  return replacements
    .filter(({ current }) => current?.state !== "promoted")
    .map(({ label }) => label);
}

/** Of these labels, in order. */
async function ongoingRows(
  db: Connection,
  { project, name }: PromptKey,
  labels: readonly string[],
): Promise<RolloutRow[]> {
  if (labels.length === 0) return [];
  const ofPrompt = db
    .selectFrom("rollouts")
    .where("project", "=", project)
    .where("name", "=", name)
    .where("state", "in", ONGOING);
  // A deletion may name more labels than a statement takes parameters.
  const ongoing = await ofPrompt.select("label").execute();
  const named = new Set(labels);
  const chosen = ongoing.map(({ label }) => label).filter((label) => named.has(label));
  if (chosen.length === 0) return [];
  return ofPrompt.selectAll().where("label", "in", chosen).orderBy("label").execute();
}
