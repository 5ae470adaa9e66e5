/** How a prompt's two sides stand to what both held last. */

/**
 * The prompt in the folder, in the place that it is synced with, and as both held it
 * when they agreed last: a hash of the content each; undefined where it is not there.
 */
export interface Sides {
  base: string | undefined;
  local: string | undefined;
  remote: string | undefined;
}

export const SYNC_STATES = [
  "synced",
  "modified_locally",
  "modified_remotely",
  "conflict",
  "new_here",
  "new_there",
  "deleted_here",
  "deleted_there",
] as const;

export type SyncState = (typeof SYNC_STATES)[number];

/**
 * Two sides that hold the same are synced, however they came to that: whoever was
 * stopped between a change and its note finds it done.
 *
 * @returns undefined where it is on neither side any more
 */
export function stateOf({ base, local, remote }: Sides): SyncState | undefined {
  if (local === remote) return local === undefined ? undefined : "synced";
  if (base === undefined) {
    if (remote === undefined) return "new_here";
    return local === undefined ? "new_there" : "conflict";
  }
  if (local === base) return remote === undefined ? "deleted_there" : "modified_remotely";
  if (remote === base) return local === undefined ? "deleted_here" : "modified_locally";
  return "conflict";
}
