/** What rollouts need of the outside: where they are kept. */

import type { Caller, Page } from "../ports.ts";
import type { Rollout, RolloutState, StandingRollout } from "./rollout.ts";

/** A rollout's place: a label of a prompt. */
export interface RolloutKey {
  name: string;
  label: string;
}

export interface ProjectRollout {
  project: string;
  rollout: StandingRollout;
}

/** Which rollouts split anybody. */
export interface RolloutLookup {
  /** Those that run or are paused: of one prompt, or of all prompts of all projects. @throws unavailable */
  ongoingRollouts(prompt?: { project: string; name: string }): Promise<ProjectRollout[]>;
}

/**
 * The rollouts of a database, also of prompts that live elsewhere. Inputs were
 * validated by the caller. Each mutation appends one change of the prompt.
 */
export interface RolloutStore extends RolloutLookup {
  /** Whatever its state. */
  findRollout(caller: Caller, key: RolloutKey): Promise<StandingRollout | undefined>;
  /** In order of prompt and label, from behind `after`; of prompts that the caller is limited to. */
  listRollouts(
    caller: Caller,
    filter: { name?: string; states?: readonly RolloutState[] },
    page: { size: number; after?: RolloutKey },
  ): Promise<Page<StandingRollout, RolloutKey>>;
  /**
   * Puts a rollout in the place of the one with `expectedRevision`, 0 for none.
   *
   * @throws conflict, forbidden for a protected label, refused for one that needs
   * approval (unless it is aborted) and past the bound on ongoing rollouts
   */
  putRollout(
    caller: Caller,
    edit: { rollout: Rollout; expectedRevision: number; reason: string },
  ): Promise<StandingRollout>;
  /**
   * @returns the prompt's revision
   * @throws not_found, conflict, refused for one that has not ended, forbidden
   */
  deleteRollout(
    caller: Caller,
    edit: RolloutKey & { expectedRevision?: number; reason: string },
  ): Promise<number>;
}
