/** Brings back what was overwritten. */

import { PromptdError } from "../core/errors.ts";
import { withoutEnding } from "../files/naming.ts";
import { ENDINGS } from "../files/prompt-file.ts";
import type { Bench } from "./parts.ts";
import type { Backup } from "./report.ts";

/**
 * Puts a backup's file where it stood. What stands there now, or is the prompt's file
 * elsewhere or under another ending, is kept in a backup too.
 *
 * @throws not_found
 */
export async function restoreBackup(
  { backups, disk, metadata }: Bench,
  { name, at }: { name?: string; at?: string },
): Promise<Backup> {
  if (name === undefined && at === undefined) {
    throw new PromptdError("invalid", "name a prompt, or a backup");
  }
  const backup = (await backups.list(name)).find(({ id }) => at === undefined || id === at);
  if (backup === undefined) {
    const of = name === undefined ? "" : ` of prompt "${name}"`;
    const message = at === undefined ? `there is no backup${of}` : `there is no backup ${at}${of}`;
    throw new PromptdError("not_found", message);
  }
  const bytes = await backups.bytes(backup);
  const keep = async (file: string) => {
    const standing = await disk.read(file);
    const what = { name: backup.name, side: "local" as const, file, why: "replaced by a backup" };
    if (standing !== undefined) await backups.keep(what, standing);
    return standing;
  };
  await disk.replace(backup.file, bytes, await keep(backup.file));
  const stem = withoutEnding(backup.file);
  const others = new Set(ENDINGS.map((ending) => stem + ending));
  others.add(metadata.get(backup.name)?.file ?? backup.file);
  others.delete(backup.file);
  for (const other of others) {
    const elsewhere = await keep(other);
    if (elsewhere !== undefined) await disk.remove(other, elsewhere);
  }
  return backup;
}
