/** What promptd's own database keeps of a source that does not share its transactions. */

import type { Change, ChangeKind } from "./change.ts";
import type { Caller, RolloutFate } from "./ports.ts";
import type { LabelChange } from "./prompt.ts";

/** What was seen of a prompt in its source. */
export interface Sighting {
  name: string;
  /** Differs once anything of the prompt does; undefined: it is not there. */
  fingerprint: string | undefined;
  /** By the source's clock; milliseconds since 1970. */
  updatedAt: number;
}

/**
 * A change of a prompt in its source, for the history. The rollouts of its labels end
 * with it.
 */
export interface SourceChange {
  /** `rollout_set`: nothing but rollouts may change with it. */
  kind: Extract<
    ChangeKind,
    | "version_created"
    | "labels_set"
    | "tags_set"
    | "versions_deleted"
    | "source_changed"
    | "rollout_set"
  >;
  reason: string;
  versions: readonly number[];
  contentHashes?: readonly string[];
  labels: readonly LabelChange[];
  /** Present where the tags changed. */
  tags?: NonNullable<Change["tags"]>;
  /** Labels that were named with them and are there already, whose rollouts end too. */
  unmoved?: readonly string[];
  /** Left out: aborted. */
  rollouts?: RolloutFate;
}

/** What is asked of a change before it is begun. */
export interface SourceAsked {
  name: string;
  expectedRevision?: number;
  /** Labels whose ongoing rollouts have this revision. */
  promotes?: { labels: readonly string[]; revision: number };
}

/** A change that was begun. Nobody else changes the prompt through this database until it ends. */
export interface SourceEdit {
  /** The prompt's revision before. */
  readonly revision: number;
  /** Aborted when others may begin; nothing is sent to the source after it. */
  readonly signal: AbortSignal;
  /**
   * Whether the caller may move these labels.
   *
   * @returns those that need approval first
   * @throws forbidden, unavailable
   */
  heedPolicies(labels: readonly string[]): Promise<string[]>;
  /**
   * Ends it, and tells the history what was done: nothing, where the list is empty. A rollout
   * that was to be promoted and has changed since is aborted.
   *
   * @param sighting of the prompt afterwards; undefined where nobody knows
   * @throws unavailable; then it ends by itself, as a change that nobody knows the outcome of
   */
  finish(changes: readonly SourceChange[], sighting: Sighting | undefined): Promise<SourceEdited>;
}

export interface SourceEdited {
  /** The prompt's. */
  revision: number;
  /** Labels whose rollout was aborted. */
  abortedRollouts: string[];
}

export interface SourceJournal {
  /** Revisions of prompts' last changes; none for a prompt without. @throws unavailable */
  revisions(project: string, names: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /**
   * Notes that a prompt is about to be changed, so that a crash in between is noticed.
   *
   * @throws conflict, not_found for the project, unavailable also while others change it
   */
  begin(caller: Caller, asked: SourceAsked): Promise<SourceEdit>;
}

/** For who changes a source without a database of promptd's: no revisions, no policies, no history. */
export const NO_JOURNAL: SourceJournal = {
  async revisions() {
    return new Map();
  },
  async begin() {
    return {
      revision: 0,
      signal: new AbortController().signal,
      async heedPolicies() {
        return [];
      },
      async finish() {
        return { revision: 0, abortedRollouts: [] };
      },
    };
  },
};

/** How far a source was followed, and by whom. */
export interface SourceFollowing {
  /** Whether this process follows the source until it is silent for `forMs`: one does at a time. @throws unavailable */
  hold(project: string, forMs: number): Promise<boolean>;
  /** Ends the hold. @throws unavailable */
  release(project: string): Promise<void>;
  /** Appends a change for each change that was begun and never ended. @throws unavailable */
  recover(project: string): Promise<void>;
  /** The database's last revision, and the newest time that was seen in the source. @throws unavailable */
  standing(project: string): Promise<FollowedUpTo>;
  /** What was seen of prompts before, by name; of all, where no names are given. @throws unavailable */
  sightings(project: string, names?: readonly string[]): Promise<ReadonlyMap<string, Sighting>>;
  /**
   * Keeps what is seen in the source now. What differs from before appends a change, unless a mutation was noted
   * after `since`, which has told of it, or is under way and will.
   *
   * @param observed.since the database's revision before the source was asked
   * @param observed.quietly appends no change
   * @throws unavailable
   */
  observe(project: string, observed: Observed): Promise<void>;
  /** Whether a webhook's event was taken in before. @throws unavailable */
  knowsEvent(project: string, id: string): Promise<boolean>;
  /** Forgets events that came before; milliseconds since 1970. @throws unavailable */
  forgetEvents(project: string, before: number): Promise<void>;
}

export interface FollowedUpTo {
  revision: number;
  /** By the source's clock; undefined before it was read through. */
  watermark: number | undefined;
}

export interface Observed {
  sightings: readonly Sighting[];
  since: number;
  /** Why the history says that a prompt was looked at. */
  reason: string;
  watermark?: number;
  quietly?: boolean;
  /** Of a webhook, taken in with what it led to. */
  eventId?: string;
  /** Names to be read again though nobody could look at them. */
  doubtful?: readonly string[];
}
