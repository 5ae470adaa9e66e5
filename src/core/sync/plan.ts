/** What a pull or a push does about each prompt. */

import type { Sides, SyncState } from "./state.ts";
import { stateOf } from "./state.ts";

/** `pull` brings the remote side here, `push` the local side there. */
export type Direction = "pull" | "push";

/** Which side is right where there is one: remote, unless a file was marked as edited; local, always. */
export type Authority = "local" | "remote";

/** Who wins a conflict; `newest`: whichever side was changed last. */
export type Preference = "local" | "remote" | "newest";

export interface PlanOptions {
  /** The direction's own side wins over the other's edits. */
  force?: boolean;
  /** A prompt that is gone from one side goes from the other. */
  delete?: boolean;
  authority?: Authority;
  autoResolve?: Preference;
  /** A pull sends what was marked as edited. */
  autoPush?: boolean;
}

/** A prompt, as a plan needs to know it. */
export interface Compared extends Sides {
  /** Somebody said that the file was edited on purpose. */
  edited?: boolean;
  /** When each side was changed last; milliseconds since 1970. */
  localChangedAt?: number;
  remoteChangedAt?: number;
}

/**
 * `write` and `remove` are about the folder, `send` and `withdraw` about the other
 * side. `agree`: both hold the same, which is noted. `rebase`: the file stays, as an
 * edit of what is there now. `forget`: it is on neither side.
 */
export type Act = "write" | "remove" | "send" | "withdraw" | "agree" | "rebase" | "forget";

export type Step =
  | { act: Act }
  /** Nothing is to be done here. */
  | { act: "keep" }
  /** It needs somebody to decide. */
  | { act: "refuse"; why: string };

/** What is done about one prompt. No edit is lost by it, unless it was forced. */
export function stepOf(direction: Direction, compared: Compared, options: PlanOptions = {}): Step {
  const state = stateOf(compared);
  switch (state) {
    case undefined:
      return { act: "forget" };
    case "synced":
      return { act: compared.base === compared.local ? "keep" : "agree" };
    case "conflict":
      return conflictStep(direction, compared, options);
    default:
      return direction === "pull"
        ? pullStep(state, compared, options)
        : pushStep(state, compared, options);
  }
}

type OneSided = Exclude<SyncState, "synced" | "conflict">;

function pullStep(state: OneSided, { edited }: Compared, options: PlanOptions): Step {
  switch (state) {
    case "new_there":
    case "modified_remotely":
      return { act: "write" };
    case "deleted_there":
      return options.delete === true ? { act: "remove" } : goneStep("there", "here");
    case "modified_locally":
      if (options.force === true) return { act: "write" };
      if (edited === true) return { act: options.autoPush === true ? "send" : "keep" };
      return { act: options.authority === "remote" ? "write" : "keep" };
    case "deleted_here":
      return { act: options.force === true || options.authority === "remote" ? "write" : "keep" };
    case "new_here":
      return { act: edited === true && options.autoPush === true ? "send" : "keep" };
  }
}

function pushStep(state: OneSided, { edited }: Compared, options: PlanOptions): Step {
  const wins = options.force === true || options.authority === "local";
  switch (state) {
    case "new_here":
    case "modified_locally":
      if (options.authority !== "remote" || edited === true || wins) return { act: "send" };
      return {
        act: "refuse",
        why: "the other side is right here; mark the file as edited to send it",
      };
    case "deleted_here":
      return options.delete === true ? { act: "withdraw" } : goneStep("here", "there");
    case "modified_remotely":
      return { act: wins ? "send" : "keep" };
    case "deleted_there":
      return { act: wins ? "send" : "keep" };
    case "new_there":
      return { act: "keep" };
  }
}

function goneStep(where: string, other: string): Step {
  return { act: "refuse", why: `it was deleted ${where}; --delete deletes it ${other} too` };
}

function conflictStep(direction: Direction, compared: Compared, options: PlanOptions): Step {
  const winner = winnerOf(direction, compared, options);
  if (winner === undefined) {
    return { act: "refuse", why: "both sides were changed: resolve it, or force one side" };
  }
  const gone = compared[winner] === undefined;
  if (gone && options.delete !== true) {
    return winner === "local" ? goneStep("here", "there") : goneStep("there", "here");
  }
  if (winner === "remote") return { act: gone ? "remove" : "write" };
  if (direction === "push") return { act: gone ? "withdraw" : "send" };
  // A pull sends nothing that was not marked.
  return { act: gone ? "keep" : "rebase" };
}

function winnerOf(
  direction: Direction,
  { edited, localChangedAt = 0, remoteChangedAt = 0 }: Compared,
  { force, authority, autoResolve }: PlanOptions,
): "local" | "remote" | undefined {
  if (force === true) return direction === "pull" ? "remote" : "local";
  if (authority === "local" && direction === "push") return "local";
  if (authority === "remote" && edited !== true) return "remote";
  if (autoResolve !== "newest") return autoResolve;
  return localChangedAt > remoteChangedAt ? "local" : "remote";
}
