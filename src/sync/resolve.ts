/** Decides a conflict, in the folder alone. */

import { PromptdError } from "../core/errors.ts";
import type { Step } from "../core/sync/plan.ts";
import { baseOf } from "./diff.ts";
import { type Prepared, replaceFile, requireFree } from "./folder-steps.ts";
import { contentOf, fileOf } from "./local-side.ts";
import { merge } from "./merge.ts";
import { agreedWithRemote, noteBase, noteFile } from "./notes.ts";
import type { Bench } from "./parts.ts";
import type { Surveyed } from "./survey.ts";

export type Strategy = "local" | "remote" | "merge";

/** `local` and `remote` take a side as it is, also one that has deleted the prompt. */
export function resolution(found: Surveyed, side: "local" | "remote"): Step {
  if (found.state !== "conflict") return { act: "keep" };
  if (side === "local") return { act: "rebase" };
  return { act: found.compared.remote === undefined ? "remove" : "write" };
}

/**
 * The merge comes into the file, as an edit of what is on the other side now.
 *
 * @throws refused where there is nothing to merge with, and for what cannot be merged
 */
export async function prepareMerge(bench: Bench, found: Surveyed): Promise<Prepared> {
  const { name, local, remote, record } = found;
  if (local === undefined || remote === undefined) {
    const message = "it was deleted on one side: take the local or the remote side";
    throw new PromptdError("refused", message);
  }
  const base = await baseOf(bench.remote, name, record);
  const { content, conflicts } = merge(base, contentOf(local.content), remote);
  const file = fileOf(name, content, local, bench.naming);
  await requireFree(bench, file.path, local);
  const commit = async () => {
    if (conflicts) {
      // Before there are markers: they must not be sent, wherever this ends.
      const before = record ?? noteFile(local.path, "conflict");
      bench.metadata.set(name, { ...before, merging: true });
      await bench.metadata.save();
    }
    await replaceFile(bench, found, file, "replaced by a merge");
    const noted = noteBase(record, file, agreedWithRemote(found), "modified_locally");
    const edited = record?.edited && { edited: record.edited };
    const merging = conflicts && { merging: true as const };
    bench.metadata.set(name, { ...noted, ...edited, ...merging });
    await bench.metadata.save();
    return undefined;
  };
  const why = "both changed the same lines: decide between the markers in the file";
  return { file: file.path, commit, ...(conflicts && { why }) };
}
