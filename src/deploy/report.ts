/** What a deploy tells of what it would do and did: the same of a dry run and of the run that follows. */

import type { ErrorCode, PromptdError } from "../core/errors.ts";
import type { LabelStep, PromptPlan } from "./plan.ts";

/** `wait`: labels that a second key has to approve, and nothing else. `leave`: nothing is to be done. */
export type Action = "create" | "move" | "prune" | "wait" | "leave" | "error";

export interface DeployItem {
  name: string;
  /** Relative to the folder, with `/` between folders; absent where it is gone. */
  file?: string;
  action: Action;
  /** That holds what the file says; absent before it is made, and where there is no file. */
  version?: number;
  labels: DeployLabel[];
  tags?: { from: readonly string[]; to: readonly string[] };
  notes: readonly string[];
  /** Why it cannot be deployed, or what failed. */
  errors: readonly string[];
  /** Of what failed. */
  code?: ErrorCode;
  /** Whether nothing of it is left to do. */
  done: boolean;
}

/** A label's place before and after: 0 where it is not there, no `to` before its version is made. */
export interface DeployLabel {
  label: string;
  how: LabelStep["how"];
  from: number;
  to?: number;
  /** Of the canary, in percent. */
  percent?: number;
  /** Where it stood before it was changed. */
  was?: { version: number; percent: number };
  /** What to approve. */
  pending?: string;
}

interface DeploySummary {
  create: number;
  move: number;
  prune: number;
  wait: number;
  left: number;
  errors: number;
  /** Because of an error elsewhere. */
  untried: number;
}

export interface DeployReport {
  /** Whether it was tried to do it: not in a dry run, where the plan has errors, or there is nothing to do. */
  applied: boolean;
  /** Whether there is no error, and nothing was left untried. */
  ok: boolean;
  /** Of every change. */
  reason: string;
  summary: DeploySummary;
  /** In order of name. */
  prompts: DeployItem[];
}

/** What became of a plan. */
export interface Outcome {
  plan: PromptPlan;
  version: number | undefined;
  /** What its requested moves wait for. */
  pending: string | undefined;
  error: PromptdError | undefined;
  done: boolean;
}

/** Before anything is done. */
export function untouched(plan: PromptPlan): Outcome {
  const { version } = plan;
  return { plan, version, pending: undefined, error: undefined, done: !hasWork(plan) };
}

/** @param applied whether it was tried to do it */
export function reportOf(
  outcomes: readonly Outcome[],
  { applied, reason }: { applied: boolean; reason: string },
): DeployReport {
  const prompts = outcomes.map(itemOf).sort((a, b) => (a.name < b.name ? -1 : 1));
  const count = (filter: (item: DeployItem) => boolean) => prompts.filter(filter).length;
  const isUntried = (item: DeployItem) => applied && !item.done && item.errors.length === 0;
  const counted = (action: Action) =>
    count((item) => item.action === action && item.errors.length === 0 && !isUntried(item));
  const summary = {
    create: counted("create"),
    move: counted("move"),
    prune: counted("prune"),
    wait: counted("wait"),
    left: counted("leave"),
    errors: count(({ errors }) => errors.length > 0),
    untried: count(isUntried),
  };
  const ok = summary.errors === 0 && summary.untried === 0;
  return { applied, ok, reason, summary, prompts };
}

/** Whether there is anything left to do. */
function hasWork({ makes, tags, steps, errors }: PromptPlan): boolean {
  return (
    errors.length > 0 || makes || tags !== undefined || steps.some(({ how }) => how !== "wait")
  );
}

function actionOf({ errors, makes, path, tags, steps }: PromptPlan): Action {
  if (errors.length > 0) return "error";
  if (makes) return "create";
  if (tags === undefined && steps.length === 0) return "leave";
  const waits = steps.every(({ how }) => how === "request" || how === "wait");
  if (tags === undefined && waits) return "wait";
  return path === undefined ? "prune" : "move";
}

function itemOf({ plan, version, pending, error, done }: Outcome): DeployItem {
  const { name, path, steps, tags, notes, errors } = plan;
  return {
    name,
    ...(path !== undefined && { file: path }),
    action: actionOf(plan),
    ...(version !== undefined && { version }),
    labels: steps.map((step) => labelOf(step, version, pending)),
    ...(tags && { tags }),
    notes,
    errors: error === undefined ? errors : [...errors, error.message],
    ...(error && { code: error.code }),
    done,
  };
}

function labelOf(
  step: LabelStep,
  version: number | undefined,
  requested: string | undefined,
): DeployLabel {
  const { label, how, from, to = version } = step;
  const pending = how === "wait" ? step.pending : how === "request" ? requested : undefined;
  return {
    label,
    how,
    from,
    ...(to !== undefined && { to }),
    ...("weight" in step && { percent: step.weight / 100 }),
    ...("was" in step && {
      was: { version: step.was.version, percent: step.was.weight / 100 },
    }),
    ...(pending !== undefined && { pending }),
  };
}
