/** What is done about a prompt in the folder, and in what is remembered of it. */

import { PromptdError } from "../core/errors.ts";
import type { SyncState } from "../core/sync/state.ts";
import type { Content } from "./contents.ts";
import { contentKey } from "./contents.ts";
import { fileOf, type LocalFile } from "./local-side.ts";
import { agreedWithRemote, noteBase, noteFile, noteTransfer } from "./notes.ts";
import type { Bench } from "./parts.ts";
import type { Surveyed } from "./survey.ts";

/** Something that can be done now, or was found to be impossible. */
export interface Prepared {
  /** The file that it is about. */
  file?: string;
  /** What is left to be done. */
  why?: string;
  /** @returns the version that was sent, where one was */
  commit: () => Promise<number | undefined>;
}

/** The followed version comes into the file. */
export async function prepareWrite(bench: Bench, found: Surveyed): Promise<Prepared> {
  const { name, local, listed } = found;
  if (listed?.version === undefined) throw new TypeError("a prompt that is not there is written");
  const { version, updatedAt } = listed;
  const remote = found.remote ?? (await bench.remote.load(name, version));
  const file = fileOf(name, remote, local, bench.naming);
  await requireFree(bench, file.path, local);
  const commit = async () => {
    await replaceFile(bench, found, file, "replaced by a pull");
    const { tags } = remote;
    const base = { key: contentKey(remote), tags, version, updatedAt };
    const record = noteBase(found.record, file, base, "synced");
    bench.metadata.set(name, noteTransfer(record, "pull", bench.now()));
    await bench.metadata.save();
    return undefined;
  };
  return { file: file.path, commit };
}

/** The file goes. */
export function prepareRemove(bench: Bench, { name, local }: Surveyed): Prepared {
  if (local === undefined) throw new TypeError("a file that is not there is removed");
  const commit = async () => {
    const what = { name, side: "local" as const, file: local.path };
    await bench.backups.keep({ ...what, why: "deleted by a pull" }, local.bytes);
    await bench.disk.remove(local.path, local.bytes);
    return forget(bench, name);
  };
  return { file: local.path, commit };
}

/** What the other side holds becomes the base, if it holds something; the file stays. */
export function prepareBase(bench: Bench, found: Surveyed, status: SyncState): Prepared {
  const { name, local, record, compared } = found;
  const file = local ?? { path: fileOfRecord(found), bytes: Buffer.alloc(0) };
  const commit = async () => {
    const noted =
      compared.remote === undefined
        ? noteFile(file.path, "new_here")
        : noteBase(record, file, agreedWithRemote(found), status);
    const kept =
      status === "synced" || record?.edited === undefined ? {} : { edited: true as const };
    bench.metadata.set(name, { ...noted, ...kept });
    await bench.metadata.save();
    return undefined;
  };
  return { file: file.path, commit };
}

/** Nothing is remembered of the prompt any more. */
export function prepareForget(bench: Bench, { name }: Surveyed): Prepared {
  return { commit: () => forget(bench, name) };
}

/**
 * Puts a content into the prompt's file, as an edit.
 *
 * @returns the file's path
 */
export async function writeEdit(
  bench: Bench,
  found: Surveyed,
  content: Content,
  why: string,
): Promise<{ path: string; bytes: Uint8Array }> {
  const file = fileOf(found.name, content, found.local, bench.naming);
  await requireFree(bench, file.path, found.local);
  await replaceFile(bench, found, file, why);
  return file;
}

/** What stands there is kept in a backup, and replaced; it takes the path that its content needs. */
export async function replaceFile(
  { backups, disk }: Bench,
  { name, local }: Surveyed,
  { path, bytes }: { path: string; bytes: Uint8Array },
  why: string,
): Promise<void> {
  if (local !== undefined) {
    await backups.keep({ name, side: "local", file: local.path, why }, local.bytes);
    if (local.path !== path) await disk.move(local.path, path);
  }
  await disk.replace(path, bytes, local?.bytes);
}

/** @throws refused where a file stands in the way that is not the prompt's */
export async function requireFree(
  { disk }: Bench,
  path: string,
  local: LocalFile | undefined,
): Promise<void> {
  if (path === local?.path || (await disk.read(path)) === undefined) return;
  const message = `${path} is in the way: it is not the file of this prompt, or cannot be told to be`;
  throw new PromptdError("refused", message);
}

async function forget({ metadata }: Bench, name: string): Promise<undefined> {
  metadata.set(name, undefined);
  await metadata.save();
}

function fileOfRecord({ record }: Surveyed): string {
  if (record === undefined) throw new TypeError("a prompt without a file was never synced");
  return record.file;
}
