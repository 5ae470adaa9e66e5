/** What a deploy does about each prompt. Nothing is asked or changed here. */

import { DEFAULT_LABEL } from "../core/prompt.ts";
import {
  type Held,
  type HeldPending,
  type HeldPrompt,
  type HeldRollout,
  placeOf,
  rolloutKey,
} from "./state.ts";
import { isReleaseLabel, type Refused, type Wanted } from "./wanted.ts";

/** How a deploy releases. */
export interface Release {
  /** In the place of the labels that files name. */
  label?: string;
  /** Weight of the new version in hundredths of a percent; absent: labels move. */
  canary?: number;
}

/**
 * What becomes of a label. `put`: it is not there, so that nobody is served by it. `request`: it
 * moves once a second key approves. `wait`: that was asked for already.
 */
export type LabelStep = {
  label: string;
  /** 0: it is not there. */
  from: number;
  /** 0: it goes. Undefined: the version that is made. */
  to: number | undefined;
} & (
  | { how: "put" | "move" | "request" }
  | { how: "wait"; pending: string }
  /** `rollout` is the revision of the one that is there, 0 where there is none. */
  | { how: "promote" | "abort"; rollout: number }
  | { how: "start"; rollout: number; weight: number }
  | { how: "change"; rollout: number; weight: number; was: { version: number; weight: number } }
);

export interface PromptPlan {
  name: string;
  /** Of the file, relative to the folder; absent where it is gone. */
  path?: string;
  /** Absent where there is no file that can be read. */
  wanted?: Wanted;
  /** As the service holds it. */
  prompt?: HeldPrompt;
  /** That holds the content; absent where one is made. */
  version?: number;
  makes: boolean;
  steps: readonly LabelStep[];
  tags?: { from: readonly string[]; to: readonly string[] };
  /** What is left as it is and should be known, or goes with the steps. */
  notes: readonly string[];
  /** Why nothing can be deployed. */
  errors: readonly string[];
}

/** The one arm of a rollout that deploys begin. */
export const CANARY = "canary";

export function planRefused({ name, path, why }: Refused): PromptPlan {
  return { name, path, makes: false, steps: [], notes: [], errors: [why] };
}

/** What a file asks for. */
export function planPrompt(wanted: Wanted, held: Held, release: Release): PromptPlan {
  const { path } = wanted;
  const { name, body } = wanted.prompt;
  const prompt = held.prompts.get(name);
  if (prompt !== undefined && prompt.type !== body.type) {
    const why = `it is a ${prompt.type} prompt on the service, and the type cannot change: give the file another name`;
    return { name, path, wanted, prompt, makes: false, steps: [], notes: [], errors: [why] };
  }
  const version = prompt && versionWith(wanted, prompt);
  const planned = wanted.labels.map((label) => {
    const { rollouts, approval, pending } = held;
    const rollout = rollouts.get(rolloutKey(name, label));
    const canary = label === releaseLabel(release) ? release.canary : undefined;
    const known = { rollout, needsApproval: approval.has(label), pending, canary };
    return planLabel(label, { wanted, prompt, version, ...known });
  });
  const steps = planned.flatMap(({ step }) => step ?? []);
  const errors = planned.flatMap(({ error }) => error ?? []);
  const tags = tagsOf(wanted, prompt);
  return {
    name,
    path,
    wanted,
    ...(prompt && { prompt }),
    ...(version !== undefined && { version }),
    makes: version === undefined,
    steps,
    ...(tags && { tags }),
    notes: planned.flatMap(({ note }) => note ?? []),
    errors: [...errors, ...otherMoves(steps, release)],
  };
}

/**
 * What becomes of a prompt whose file is gone. It loses the label and nothing else, so that its history
 * stays and the removal can be undone.
 */
export function planPrune(name: string, held: Held, release: Release): PromptPlan {
  const prompt = held.prompts.get(name);
  const label = releaseLabel(release);
  const from = placeOf(prompt, label);
  const plan = { name, ...(prompt && { prompt }), makes: false, errors: [] };
  // Somebody was faster.
  if (from === 0) return { ...plan, steps: [], notes: [] };
  const rollout = ongoing(held.rollouts.get(rolloutKey(name, label)));
  const step = held.approval.has(label)
    ? approvalStep(name, { label, from, to: 0 }, held.pending)
    : ({ label, from, to: 0, how: "move" } as const);
  return { ...plan, steps: [step], notes: rollout ? [abortsNote(label, rollout)] : [] };
}

/** Which label is rolled out and pruned. */
export function releaseLabel({ label = DEFAULT_LABEL }: Release): string {
  return label;
}

/**
 * The newest version where that has the content, or else one that a wanted label points at, or else
 * the newest of all that have it: neither somebody's draft nor a revert makes a version twice.
 */
function versionWith({ contentHash, labels }: Wanted, { versions }: HeldPrompt) {
  const same = versions.filter((version) => version.contentHash === contentHash);
  const newest = versions[0] === same[0] ? same[0] : undefined;
  const labelled = same.find((version) => version.labels.some((label) => labels.includes(label)));
  return (newest ?? labelled ?? same[0])?.version;
}

interface LabelState {
  wanted: Wanted;
  prompt: HeldPrompt | undefined;
  version: number | undefined;
  rollout: HeldRollout | undefined;
  needsApproval: boolean;
  pending: readonly HeldPending[];
  canary: number | undefined;
}

interface PlannedLabel {
  step?: LabelStep;
  note?: string;
  error?: string;
}

function planLabel(label: string, state: LabelState): PlannedLabel {
  const { wanted, prompt, version, needsApproval, pending, canary } = state;
  const { name } = wanted.prompt;
  const from = placeOf(prompt, label);
  const move = { label, from, to: version };
  const standing = prompt?.versions.find((each) => each.version === from);
  const holds = standing?.contentHash === wanted.contentHash;
  if (isReleaseLabel(label) && from !== 0) {
    if (holds) return {};
    const error = `${label} is version ${from}, whose content is another one: a release keeps its number, so name the next one in the file`;
    return { error };
  }
  const rollout = ongoing(state.rollout);
  if (from !== 0 && from === version) {
    if (rollout === undefined) return {};
    if (canaryOf(rollout)) return { step: { ...move, how: "abort", rollout: rollout.revision } };
    return { note: `the rollout of ${label} (${armsText(rollout)}) is left as it is` };
  }
  const splits = canary !== undefined && from !== 0 && !holds;
  if (needsApproval) {
    if (!splits) return { step: approvalStep(name, move, pending) };
    const error = `${label} needs the approval of a second key, for which a rollout cannot wait: deploy without --canary`;
    return { error };
  }
  if (splits) return planCanary(move, state, canary);
  if (rollout === undefined) {
    const how = from === 0 ? "put" : "move";
    const alone = `${label} is not there yet, so it is set for everybody`;
    return { step: { ...move, how }, ...(canary !== undefined && from === 0 && { note: alone }) };
  }
  if (version !== undefined && canaryOf(rollout)?.version === version) {
    return { step: { ...move, how: "promote", rollout: rollout.revision } };
  }
  return { step: { ...move, how: "move" }, note: abortsNote(label, rollout) };
}

function planCanary(
  move: { label: string; from: number; to: number | undefined },
  { rollout }: LabelState,
  weight: number,
): PlannedLabel {
  const { label, to } = move;
  const there = ongoing(rollout);
  if (there === undefined) {
    return { step: { ...move, how: "start", rollout: rollout?.revision ?? 0, weight } };
  }
  const was = canaryOf(there);
  if (was === undefined) {
    const error = `a rollout of ${label} is under way (${armsText(there)}): promote or abort it first, or deploy without --canary`;
    return { error };
  }
  if (was.version === to && was.weight === weight) {
    return { note: `the rollout of ${label} (${armsText(there)}) is there already` };
  }
  if (there.state === "paused" && was.weight !== weight) {
    const error = `the rollout of ${label} is paused (${armsText(there)}) and takes no other weight: resume or abort it first`;
    return { error };
  }
  return { step: { ...move, how: "change", rollout: there.revision, weight, was } };
}

/** A canary is of one label: others would release to everybody what it holds back. */
function otherMoves(steps: readonly LabelStep[], release: Release): string[] {
  if (release.canary === undefined) return [];
  const ours = releaseLabel(release);
  return steps
    .filter(({ label, from, how }) => {
      const isServed = from !== 0 && !isReleaseLabel(label);
      return label !== ours && isServed && how !== "abort" && how !== "wait";
    })
    .map(
      ({ label }) =>
        `${label} would move too, and --canary is for ${ours} alone: name the label by --label`,
    );
}

function approvalStep(
  name: string,
  move: { label: string; from: number; to: number | undefined },
  pending: readonly HeldPending[],
): LabelStep {
  const same = pending.find(
    (change) =>
      change.name === name &&
      change.moves.some(
        ({ label, fromVersion, toVersion }) =>
          label === move.label && fromVersion === move.from && toVersion === move.to,
      ),
  );
  return same === undefined
    ? { ...move, how: "request" }
    : { ...move, how: "wait", pending: same.id };
}

function tagsOf({ prompt: { tags = [] } }: Wanted, prompt: HeldPrompt | undefined) {
  const [to, from] = [[...new Set(tags)], prompt?.tags ?? []];
  const isSame = to.length === from.length && to.every((tag) => from.includes(tag));
  // A file that names none leaves those that are there.
  return to.length === 0 || isSame ? undefined : { from, to };
}

function ongoing(rollout: HeldRollout | undefined): HeldRollout | undefined {
  return rollout?.state === "ended" ? undefined : rollout;
}

/** The arm of a rollout that a deploy began; undefined where it is somebody else's. */
function canaryOf({ arms }: HeldRollout): { version: number; weight: number } | undefined {
  const [arm] = arms;
  if (arms.length !== 1 || arm?.name !== CANARY || "label" in arm.target) return undefined;
  return { version: arm.target.version, weight: arm.weight };
}

function abortsNote(label: string, rollout: HeldRollout): string {
  return `that aborts the rollout of ${label} (${armsText(rollout)})`;
}

function armsText({ arms }: HeldRollout): string {
  return arms
    .map(({ name, target, weight }) => {
      const where = "label" in target ? `label ${target.label}` : `version ${target.version}`;
      return `${name} ${weight / 100}% of ${where}`;
    })
    .join(", ");
}
