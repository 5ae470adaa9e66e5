/** How a prompt is remembered after something was done about it. */

import { createHash } from "node:crypto";
import type { Direction } from "../core/sync/plan.ts";
import type { SyncState } from "../core/sync/state.ts";
import { sortedTags } from "./contents.ts";
import type { PromptRecord } from "./metadata.ts";
import type { Listed } from "./remote-side.ts";
import type { Surveyed } from "./survey.ts";

/** A content that both sides hold, or that the file goes on from. */
export interface Agreed {
  key: string;
  tags: readonly string[];
  version: number;
  /** Undefined where it was just sent, so that nobody has seen the time yet. */
  updatedAt?: Date | undefined;
}

/** What the other side holds now, as the base. @throws TypeError where it holds nothing */
export function agreedWithRemote({ compared, listed }: Surveyed): Agreed {
  if (compared.remote === undefined || listed?.version === undefined) {
    throw new TypeError("a prompt that is not there is no base");
  }
  const { version, tags, updatedAt } = listed;
  return { key: compared.remote, tags, version, updatedAt };
}

/** A record of a new base. What was said of the file before is forgotten. */
export function noteBase(
  before: PromptRecord | undefined,
  file: { path: string; bytes: Uint8Array },
  base: Agreed,
  status: SyncState,
): PromptRecord {
  return {
    file: file.path,
    base: base.key,
    tags: sortedTags(base.tags),
    local_checksum: checksum(file.bytes),
    remote_version: base.version,
    remote_updated_at: base.updatedAt?.toISOString() ?? null,
    ...(before?.pulled_at !== undefined && { pulled_at: before.pulled_at }),
    ...(before?.pushed_at !== undefined && { pushed_at: before.pushed_at }),
    direction: before?.direction ?? null,
    status,
  };
}

export function noteTransfer(record: PromptRecord, direction: Direction, at: number): PromptRecord {
  const time = new Date(at).toISOString();
  const times = direction === "pull" ? { pulled_at: time } : { pushed_at: time };
  return { ...record, ...times, direction };
}

/** A record of a file that never agreed with the other side. */
export function noteFile(path: string, status: SyncState): PromptRecord {
  return {
    file: path,
    base: null,
    tags: [],
    local_checksum: null,
    remote_version: null,
    remote_updated_at: null,
    direction: null,
    status,
  };
}

/** The record of a prompt that was only looked at. */
export function noteSeen({
  record,
  compared,
  local,
  listed,
  state,
}: Surveyed): PromptRecord | undefined {
  if (record === undefined || state === "unreadable" || state === "gone") return record;
  const isBase = compared.remote !== undefined && compared.remote === compared.base;
  const seen = isBase && listed?.version !== undefined ? seenAt(listed) : {};
  return { ...record, ...(local && { file: local.path }), ...seen, status: state };
}

function seenAt({ version, updatedAt }: Listed): Partial<PromptRecord> {
  return { remote_version: version ?? null, remote_updated_at: updatedAt.toISOString() };
}

function checksum(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
