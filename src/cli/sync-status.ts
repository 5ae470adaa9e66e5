import { PromptdError } from "../core/errors.ts";
import type { StatusItem, StatusReport } from "../sync/report.ts";
import { Differs } from "./exit.ts";
import { jsonDocument, table } from "./output.ts";
import {
  countsText,
  type SelectionOptions,
  type SyncOptions,
  selectionOf,
  withSync,
  words,
} from "./sync.ts";
import type { Terminal } from "./terminal.ts";

/** `promptd sync init` */
export async function init(
  terminal: Terminal,
  options: SyncOptions & { force?: boolean },
): Promise<void> {
  const { status: report } = await withSync(terminal, options, ({ sync }) =>
    sync.init({ force: options.force === true }),
  );
  terminal.out(options.json ? jsonDocument(report) : statusText(report));
}

/** `promptd sync status` */
export async function status(
  terminal: Terminal,
  names: string[],
  options: SyncOptions & SelectionOptions,
): Promise<void> {
  const report = await withSync(terminal, options, ({ sync }) =>
    sync.status(selectionOf(names, options)),
  );
  terminal.out(options.json ? jsonDocument(report) : statusText(report));
  throwUnlessClean(report);
}

/** @throws Differs, conflict, refused */
function throwUnlessClean({ counts, prompts, clean }: StatusReport): void {
  if (clean) return;
  const { unreadable = 0, conflict = 0, synced = 0 } = counts;
  if (unreadable > 0) {
    throw new PromptdError("refused", `${unreadable} of ${prompts.length} prompts cannot be read`);
  }
  if (conflict > 0) {
    throw new PromptdError("conflict", `${conflict} of ${prompts.length} prompts are in conflict`);
  }
  const differing = prompts.length - synced;
  throw new Differs(`${differing} of ${prompts.length} prompts differ`);
}

function statusText(report: StatusReport): string {
  const { prompts, counts, ignored, remote, label } = report;
  const rows = prompts.map((item) => [
    words(item.state),
    item.name,
    item.file ?? "",
    item.remoteVersion === undefined ? "" : String(item.remoteVersion),
    remarks(item),
  ]);
  const passedOver = ignored.map(({ path, why }) => ["ignored", "", path, "", why]);
  const all = { ...counts, ...(ignored.length > 0 && { ignored: ignored.length }) };
  return [
    `${remote}, label ${label}\n\n`,
    table(["STATE", "PROMPT", "FILE", "VERSION", ""], [...rows, ...passedOver]),
    `\n${countsText(all)}\n`,
  ].join("");
}

function remarks({ edited, merging, why }: StatusItem): string {
  return [edited && "marked as edited", merging && "merge to be finished", why]
    .filter(Boolean)
    .join("; ");
}
