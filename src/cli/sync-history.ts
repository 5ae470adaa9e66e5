import { PromptdError } from "../core/errors.ts";
import type { Backup, PromptLog } from "../sync/report.ts";
import { WrongUsage } from "./exit.ts";
import { dateText, jsonDocument, table } from "./output.ts";
import { type SyncOptions, withSync } from "./sync.ts";
import type { Terminal } from "./terminal.ts";

/** `promptd sync mark-edited` */
export async function markEdited(
  terminal: Terminal,
  name: string,
  options: SyncOptions & { undo?: boolean },
): Promise<void> {
  const edited = options.undo !== true;
  await withSync(terminal, options, ({ sync }) => sync.markEdited(name, edited));
  const marked = edited ? "is marked as edited" : "is not marked as edited any more";
  terminal.out(options.json ? jsonDocument({ name, edited }) : `${name} ${marked}\n`);
}

/** `promptd sync log` */
export async function log(terminal: Terminal, name: string, options: SyncOptions): Promise<void> {
  const found = await withSync(terminal, options, ({ sync }) => sync.log(name));
  terminal.out(options.json ? jsonDocument(found) : logText(found));
}

/** `promptd sync rollback` */
export async function rollback(
  terminal: Terminal,
  name: string,
  options: SyncOptions & { to: number },
): Promise<void> {
  const { to: version } = options;
  const { file } = await withSync(terminal, options, ({ sync }) => sync.rollback(name, version));
  terminal.out(
    options.json
      ? jsonDocument({ name, version, file })
      : `${file} holds version ${version} of ${name}; promptd sync push makes it the newest\n`,
  );
}

/** `promptd sync restore` */
export async function restore(
  terminal: Terminal,
  name: string | undefined,
  options: SyncOptions & { at?: string; list?: boolean },
): Promise<void> {
  const { at, list } = options;
  if (list) {
    const backups = await withSync(terminal, options, ({ sync }) => sync.backups(name));
    terminal.out(options.json ? jsonDocument({ backups }) : backupsTable(backups));
    return;
  }
  if (name === undefined && at === undefined) {
    const description = "expected a prompt, --at with a backup, or --list";
    throw new WrongUsage(PromptdError.invalid({ field: "name", description }));
  }
  const which = { ...(name !== undefined && { name }), ...(at !== undefined && { at }) };
  const backup = await withSync(terminal, options, ({ sync }) => sync.restore(which));
  const { file, when, id } = backup;
  terminal.out(
    options.json
      ? jsonDocument(backup)
      : `${file} is as it was at ${dateText(when)} (backup ${id})\n`,
  );
}

function logText({ name, file, versions, baseVersion, backups, ...times }: PromptLog): string {
  const rows = versions.map(({ version, createdAt, labels, author, commitMessage }) => [
    `${version}${version === baseVersion ? " =" : ""}`,
    dateText(createdAt),
    labels.join(" "),
    author,
    commitMessage,
  ]);
  const told = [
    `prompt ${name}`,
    file === undefined ? "no file" : `file ${file}`,
    times.pulledAt && `pulled ${dateText(times.pulledAt)}`,
    times.pushedAt && `pushed ${dateText(times.pushedAt)}`,
    baseVersion !== undefined && `both sides held version ${baseVersion} last (=)`,
  ];
  return [
    `${told.filter(Boolean).join("\n")}\n`,
    ...(rows.length > 0
      ? [table(["VERSION", "TIME", "LABELS", "AUTHOR", "MESSAGE"], rows)]
      : ["it is not on the other side\n"]),
    ...(backups.length > 0 ? [backupsTable(backups)] : []),
  ].join("\n");
}

function backupsTable(backups: readonly Backup[]): string {
  const rows = backups.map(({ id, name, side, file, why, when }) => [
    id,
    dateText(when),
    name,
    side === "local" ? "here" : "there",
    file,
    why,
  ]);
  return table(["BACKUP", "TIME", "PROMPT", "OF", "FILE", "WHY"], rows);
}
