/** Metadata of a folder that was not synced before. */

import { contentKey } from "./contents.ts";
import { contentOf } from "./local-side.ts";
import type { Metadata } from "./metadata.ts";
import { noteBase, noteFile } from "./notes.ts";
import type { Surveyed } from "./survey.ts";

/** What both sides hold alike is their base; what differs has none, for nobody knows who changed it. */
export function beginMetadata(metadata: Metadata, prompts: readonly Surveyed[]): void {
  for (const found of prompts) {
    const { name, state, local, remote, listed } = found;
    if (
      local === undefined ||
      remote === undefined ||
      listed === undefined ||
      state === "unreadable"
    )
      continue;
    const { version, updatedAt } = listed;
    // A file without tags has not taken those away: they are news to it.
    const tags = local.content.tags ?? remote.tags;
    const sameBut = contentKey({ ...contentOf(local.content), tags });
    const isBase = version !== undefined && sameBut === contentKey(remote);
    const status = state === "synced" || !isBase ? "synced" : "modified_remotely";
    const base = {
      key: local.key,
      tags: local.content.tags ?? [],
      version: version ?? 0,
      updatedAt,
    };
    const record = isBase
      ? noteBase(undefined, local, base, status)
      : noteFile(local.path, "conflict");
    metadata.set(name, record);
  }
}
