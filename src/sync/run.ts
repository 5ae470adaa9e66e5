/** Does what was planned: prompt by prompt, each whole or not at all, and none stops another. */

import pLimit from "p-limit";
import { PromptdError } from "../core/errors.ts";
import type { Step } from "../core/sync/plan.ts";
import { includedFirst } from "../files/inclusion-order.ts";
import { caselessPath } from "../files/naming.ts";
import { reasonOf } from "../files/scan.ts";
import {
  type Prepared,
  prepareBase,
  prepareForget,
  prepareRemove,
  prepareWrite,
} from "./folder-steps.ts";
import { noteSeen } from "./notes.ts";
import type { Bench } from "./parts.ts";
import { prepareSend, prepareWithdraw } from "./remote-steps.ts";
import type { Outcome, Progress, RunItem, RunReport, RunSummary } from "./report.ts";
import { prepareMerge } from "./resolve.ts";
import type { Surveyed } from "./survey.ts";

/** Prompts about which something is done at the same time. */
const CONCURRENT = 8;

export interface Run {
  bench: Bench;
  command: RunReport["command"];
  prompts: readonly Surveyed[];
  /** What is to be done about a prompt that can be read; a merge beside what a plan knows. */
  decide: (found: Surveyed) => Step | { act: "merge" };
  dryRun: boolean;
  onProgress: (progress: Progress) => void;
}

/** A prompt on its way through a run. */
interface Job {
  found: Surveyed;
  item: RunItem;
  prepared?: Prepared;
}

/** Nothing is written before all of it is known to be possible as far as that can be known. */
export async function run({ bench, command, prompts, ...how }: Run): Promise<RunReport> {
  const limit = pLimit(CONCURRENT);
  const jobs = await limit.map(prompts, (found) => prepare(bench, found, how.decide));
  requireDifferentFiles(jobs);
  if (!how.dryRun) await commit(bench, jobs, how.onProgress);
  const summary = summaryOf(jobs);
  const items = jobs.map(({ item }) => item);
  const ok = summary.conflicts + summary.errors === 0;
  return { command, dryRun: how.dryRun, items, summary, ok };
}

async function prepare(bench: Bench, found: Surveyed, decide: Run["decide"]): Promise<Job> {
  const { name, state, file, why } = found;
  const item: RunItem = { name, ...(file !== undefined && { file }), state, outcome: "keep" };
  if (why !== undefined) return { found, item: { ...item, outcome: "error", why } };
  const step = decide(found);
  if (step.act === "keep") return { found, item };
  if (step.act === "refuse") return { found, item: { ...item, outcome: "refuse", why: step.why } };
  try {
    const prepared = await prepareAct(bench, found, step.act);
    const { file: written, why } = prepared;
    const about = { ...(written !== undefined && { file: written }), ...(why && { why }) };
    return { found, item: { ...item, ...about, outcome: step.act }, prepared };
  } catch (thrown) {
    return { found, item: { ...item, ...failure(thrown) } };
  }
}

async function prepareAct(
  bench: Bench,
  found: Surveyed,
  act: Exclude<Outcome, "keep" | "refuse" | "error">,
): Promise<Prepared> {
  switch (act) {
    case "write":
      return prepareWrite(bench, found);
    case "remove":
      return prepareRemove(bench, found);
    case "send":
      return prepareSend(bench, found);
    case "withdraw":
      return prepareWithdraw(bench, found);
    case "merge":
      return prepareMerge(bench, found);
    case "agree":
      return prepareBase(bench, found, "synced");
    case "rebase":
      return prepareBase(bench, found, found.local ? "modified_locally" : "deleted_here");
    case "forget":
      return prepareForget(bench, found);
  }
}

/** Two prompts may have names of which some file systems make one file. */
function requireDifferentFiles(jobs: readonly Job[]): void {
  const taken = new Map<string, string>();
  for (const { found } of jobs) {
    if (found.local) taken.set(caselessPath(found.local.path), found.name);
  }
  for (const job of jobs) {
    if (job.item.outcome !== "write" || job.item.file === undefined) continue;
    const path = caselessPath(job.item.file);
    const owner = taken.get(path);
    taken.set(path, owner ?? job.item.name);
    if (owner === undefined || owner === job.item.name) continue;
    job.item.outcome = "error";
    job.item.why = `${job.item.file} is the file of the prompt "${owner}": name another one under files in promptd.yaml`;
    delete job.prepared;
  }
}

async function commit(
  bench: Bench,
  jobs: readonly Job[],
  onProgress: Run["onProgress"],
): Promise<void> {
  const planned = jobs.filter(({ prepared }) => prepared !== undefined);
  let done = 0;
  const perform = async (job: Job) => {
    try {
      const version = await job.prepared?.commit();
      if (version !== undefined) job.item.version = version;
    } catch (thrown) {
      Object.assign(job.item, failure(thrown));
    }
    onProgress({ phase: "apply", done: ++done, total: planned.length });
  };
  const limit = pLimit(CONCURRENT);
  const sends = planned.filter(({ item }) => item.outcome === "send");
  const withdrawals = planned.filter(({ item }) => item.outcome === "withdraw");
  const others = planned.filter((job) => !sends.includes(job) && !withdrawals.includes(job));
  const running = [
    ...others.map((job) => limit(perform, job)),
    ...inOrder(sends, (job) => limit(perform, job)),
  ];
  const settled = await Promise.allSettled(running);
  for (const result of settled) if (result.status === "rejected") throw result.reason;
  // What includes others may have gone by then, or be changed.
  for (const job of withdrawals) await perform(job);
  await note(bench, jobs, sends.length > 0);
  if (planned.length > 0) await bench.backups.prune();
}

/** What is included goes before what includes it. */
function inOrder(jobs: readonly Job[], perform: (job: Job) => Promise<void>): Promise<void>[] {
  const running = new Map<string, Promise<void>>();
  const files = jobs.flatMap((job) => {
    const { name, local } = job.found;
    return local ? [{ job, prompt: { name, ...local.content } }] : [];
  });
  for (const { job, prompt, includes } of includedFirst(files)) {
    const before = includes.map((name) => running.get(name));
    const afterThem = async () => {
      await Promise.allSettled(before);
      await perform(job);
    };
    running.set(prompt.name, afterThem());
  }
  return [...running.values()];
}

/** Remembers what was seen of the others, and when the other side says that it took what was sent. */
async function note(bench: Bench, jobs: readonly Job[], sent: boolean): Promise<void> {
  const { metadata, remote, label } = bench;
  await metadata.refresh();
  for (const { found, item } of jobs) {
    if (["keep", "refuse", "error"].includes(item.outcome)) {
      if (metadata.get(found.name) === found.record) metadata.set(found.name, noteSeen(found));
    }
  }
  const listed = sent ? await remote.list(label).catch(() => undefined) : undefined;
  for (const { found } of jobs) {
    const record = metadata.get(found.name);
    const now = listed?.get(found.name);
    if (record?.remote_updated_at !== null || now?.version !== record.remote_version) continue;
    metadata.set(found.name, { ...record, remote_updated_at: now.updatedAt.toISOString() });
  }
  await metadata.save();
}

/** @throws what is neither our judgement nor the file system's */
function failure(thrown: unknown): { outcome: Outcome; why: string } {
  if (thrown instanceof PromptdError) {
    const isConflict = thrown.code === "conflict";
    return { outcome: isConflict ? "refuse" : "error", why: thrown.message };
  }
  if (thrown instanceof Error && "code" in thrown) {
    return { outcome: "error", why: reasonOf(thrown) };
  }
  throw thrown;
}

function summaryOf(jobs: readonly Job[]): RunSummary {
  const count = (is: (job: Job) => boolean) => jobs.filter(is).length;
  const outcome = (expected: Outcome) => count(({ item }) => item.outcome === expected);
  return {
    pulled: count(({ item, found }) => item.outcome === "write" && found.local === undefined),
    updated:
      count(({ item, found }) => item.outcome === "write" && found.local !== undefined) +
      outcome("merge"),
    pushed: outcome("send"),
    removed: outcome("remove"),
    withdrawn: outcome("withdraw"),
    conflicts: outcome("refuse"),
    errors: outcome("error"),
    kept: outcome("keep") + outcome("agree") + outcome("rebase") + outcome("forget"),
  };
}
