import { PromptdError } from "../core/errors.ts";
import { databaseUrl } from "../runtime.ts";
import { backup, type Contents, restore } from "../store/backup.ts";
import { sqlitePath } from "../store/open.ts";
import { type SettingOptions, settingsOf } from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";
import { withDatabase } from "./with-database.ts";

/** `promptd migrate` */
export async function migrate(terminal: Terminal, options: SettingOptions): Promise<void> {
  const ran = await withDatabase(terminal, options, (database) => database.migrate());
  terminal.out(ran.length === 0 ? "nothing to migrate\n" : `ran ${ran.join(", ")}\n`);
}

/** `promptd backup` */
export async function backupTo(
  terminal: Terminal,
  file: string,
  options: SettingOptions,
): Promise<void> {
  const contents = await backup(databaseFile(terminal, options, "pg_dump"), file);
  terminal.out(`${file} holds ${contentsText(contents)}\n`);
}

/** `promptd restore` */
export async function restoreFrom(
  terminal: Terminal,
  file: string,
  options: SettingOptions,
): Promise<void> {
  const path = databaseFile(terminal, options, "pg_restore");
  const contents = await restore(path, file);
  terminal.out(`${path} holds ${contentsText(contents)}\n`);
}

/** @throws refused for a database that is not a file */
function databaseFile(terminal: Terminal, options: SettingOptions, instead: string): string {
  const path = sqlitePath(databaseUrl(settingsOf(terminal, options)));
  if (path !== undefined) return path;
  throw new PromptdError("refused", `this is for SQLite; use ${instead} for PostgreSQL`);
}

function contentsText({ prompts, versions, changes }: Contents): string {
  return `${prompts} prompts, ${versions} versions, ${changes} changes`;
}
