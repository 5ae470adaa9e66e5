import { PromptdError } from "../core/errors.ts";
import type { Preference } from "../core/sync/plan.ts";
import type { Outcome, RunItem, RunReport } from "../sync/report.ts";
import type { Strategy } from "../sync/resolve.ts";
import type { RunOptions, Sync } from "../sync/sync.ts";
import { jsonDocument, table } from "./output.ts";
import {
  commaSeparated,
  countsText,
  type SelectionOptions,
  type SyncOptions,
  selectionOf,
  withSync,
} from "./sync.ts";
import type { Terminal } from "./terminal.ts";

export interface RunCommandOptions extends SyncOptions, SelectionOptions {
  labels?: string;
  force?: boolean;
  delete?: boolean;
  dryRun?: boolean;
  autoResolve?: Preference;
  autoPush?: boolean;
}

/** `promptd sync pull` */
export async function pull(
  terminal: Terminal,
  names: string[],
  options: RunCommandOptions,
): Promise<void> {
  await run(terminal, options, (sync) => sync.pull(runOptionsOf(names, options)));
}

/** `promptd sync push` */
export async function push(
  terminal: Terminal,
  names: string[],
  options: RunCommandOptions,
): Promise<void> {
  await run(terminal, options, (sync) => sync.push(runOptionsOf(names, options)));
}

/** `promptd sync resolve` */
export async function resolve(
  terminal: Terminal,
  name: string,
  options: SyncOptions & { strategy: Strategy; dryRun?: boolean },
): Promise<void> {
  const { strategy, dryRun = false } = options;
  await run(terminal, options, (sync) => sync.resolve(name, strategy, { dryRun }));
}

export function runOptionsOf(names: readonly string[], options: RunCommandOptions): RunOptions {
  const { labels, autoResolve } = options;
  return {
    ...selectionOf(names, options),
    ...(labels !== undefined && { labels: commaSeparated(labels) }),
    ...(autoResolve && { autoResolve }),
    force: options.force === true,
    delete: options.delete === true,
    dryRun: options.dryRun === true,
    ...(options.autoPush && { autoPush: true }),
  };
}

async function run(
  terminal: Terminal,
  options: SyncOptions,
  work: (sync: Sync) => Promise<RunReport>,
): Promise<void> {
  const report = await withSync(terminal, options, ({ sync }) => work(sync));
  terminal.out(options.json ? jsonDocument(report) : runText(report));
  throwUnlessOk(report);
}

/** @throws conflict, refused */
function throwUnlessOk({ ok, summary, items }: RunReport): void {
  if (ok) return;
  const { errors, conflicts } = summary;
  if (errors > 0) {
    throw new PromptdError("refused", `${errors} of ${items.length} prompts failed`);
  }
  throw new PromptdError(
    "conflict",
    `${conflicts} of ${items.length} prompts need somebody to decide`,
  );
}

/** What was done, or would be, and the counts of it. */
export function runText({ items, summary, dryRun }: RunReport): string {
  const rows = items
    .filter(({ outcome }) => outcome !== "keep")
    .map((item) => [done(item, dryRun), item.name, item.file ?? "", remarks(item)]);
  const header = [dryRun ? "WOULD" : "OUTCOME", "PROMPT", "FILE", ""];
  return `${rows.length > 0 ? `${table(header, rows)}\n` : ""}${countsText({ ...summary })}\n`;
}

function remarks({ why, version }: RunItem): string {
  return [why, version !== undefined && `version ${version}`].filter(Boolean).join("; ");
}

/** As a person says it, before and after. */
const DONE: Record<Exclude<Outcome, "write">, [would: string, did: string]> = {
  remove: ["remove", "removed"],
  send: ["push", "pushed"],
  withdraw: ["withdraw", "withdrawn"],
  merge: ["merge", "merged"],
  agree: ["note", "noted"],
  rebase: ["keep as an edit", "kept as an edit"],
  forget: ["forget", "forgotten"],
  keep: ["keep", "kept"],
  refuse: ["refuse", "refused"],
  error: ["fail", "failed"],
};

function done({ outcome, state }: RunItem, dryRun: boolean): string {
  const isNew = state === "new_there" || state === "deleted_here";
  const write = isNew ? ["pull", "pulled"] : ["update", "updated"];
  const [would, did] = outcome === "write" ? write : DONE[outcome];
  return (dryRun ? would : did) ?? "";
}
