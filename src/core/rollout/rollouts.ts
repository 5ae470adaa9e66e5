/** What release owners do with rollouts, wherever the prompts live. */

import { PromptdError, type Violation } from "../errors.ts";
import type { Caller, PromptSource } from "../ports.ts";
import type { LabelMove, Selector } from "../prompt.ts";
import { selectorText } from "../prompt-key.ts";
import { intended, type RolloutIntent, requireRolloutRevision, rolloutNotFound } from "./intent.ts";
import type { RolloutKey, RolloutStore } from "./ports.ts";
import {
  type Assignment,
  hasEnded,
  preview,
  type Rollout,
  type StandingRollout,
  tableOf,
  targetOf,
} from "./rollout.ts";
import { type BucketMove, CONTROL, weightsOf } from "./table.ts";

/** Changes that were overtaken by others are tried anew, so often. */
const ATTEMPTS = 3;

/** What an intent would do. */
export interface RolloutPreview {
  /** Of the present rollout; 0: there is none. */
  revision: number;
  arms: PreviewedArm[];
  movedBuckets: number;
  moves: BucketMove[];
  users: { userId: string; before: PreviewedAssignment; after: PreviewedAssignment }[];
}

interface PreviewedArm {
  name: string;
  versionBefore: number;
  versionAfter: number;
  bucketsBefore: number;
  bucketsAfter: number;
}

/** Version 0: the arm cannot be answered with, and control is. */
export type PreviewedAssignment = Assignment & { version: number };

export class Rollouts {
  readonly #store: RolloutStore;
  readonly #source: Pick<PromptSource, "find" | "setLabels">;

  constructor(store: RolloutStore, source: Pick<PromptSource, "find" | "setLabels">) {
    this.#store = store;
    this.#source = source;
  }

  /** @throws not_found */
  async get(caller: Caller, key: RolloutKey): Promise<StandingRollout> {
    const found = await this.#store.findRollout(caller, key);
    if (found === undefined) throw rolloutNotFound(key);
    return found;
  }

  /**
   * Makes of a rollout what is wanted.
   *
   * @param edit.expectedRevision of the rollout; 0: there is none
   * @returns where the label pointed before, if the rollout was promoted
   * @throws invalid, not_found, conflict, refused, forbidden, unavailable
   */
  async set(
    caller: Caller,
    intent: RolloutIntent,
    { expectedRevision, reason }: { expectedRevision?: number; reason: string },
  ): Promise<{ rollout: StandingRollout; previous: LabelMove[] }> {
    for (let attempt = 1; ; attempt++) {
      const present = await this.#store.findRollout(caller, intent);
      requireRolloutRevision(intent, present?.revision ?? 0, expectedRevision);
      const rollout = intended(intent, present);
      try {
        if (present !== undefined && intent.state === "promoted") {
          return await this.#promote(caller, rollout, present.revision, reason);
        }
        if (intent.definition !== undefined) {
          await requireTargets(rollout, this.#lookup(caller, rollout.name));
        }
        const edit = { rollout, expectedRevision: present?.revision ?? 0, reason };
        return { rollout: await this.#store.putRollout(caller, edit), previous: [] };
      } catch (thrown) {
        const overtaken = PromptdError.from(thrown).code === "conflict";
        if (!overtaken || expectedRevision !== undefined || attempt === ATTEMPTS) throw thrown;
      }
    }
  }

  /** What `set` would do. @throws invalid, not_found, refused, unavailable */
  async preview(
    caller: Caller,
    intent: RolloutIntent,
    userIds: readonly string[],
  ): Promise<RolloutPreview> {
    const present = await this.#store.findRollout(caller, intent);
    const rollout = intended(intent, present);
    const versionAt = this.#lookup(caller, rollout.name);
    if (intent.definition !== undefined) await requireTargets(rollout, versionAt);
    const ongoing = present === undefined || hasEnded(present) ? undefined : present;
    const before = await versionsOf(intent, ongoing, versionAt);
    const after = await versionsOf(intent, rollout, versionAt);
    const { movedBuckets, moves, users } = preview(present, rollout, userIds);
    const bucketsBefore = weightsOf(tableOf(present));
    const bucketsAfter = weightsOf(tableOf(rollout));
    const names = new Set([CONTROL, ...before.keys(), ...after.keys()]);
    return {
      revision: present?.revision ?? 0,
      arms: [...names].map((name) => ({
        name,
        versionBefore: before.get(name) ?? 0,
        versionAfter: after.get(name) ?? 0,
        bucketsBefore: bucketsBefore.get(name) ?? 0,
        bucketsAfter: bucketsAfter.get(name) ?? 0,
      })),
      movedBuckets,
      moves,
      users: users.map((user) => ({
        userId: user.userId,
        before: { ...user.before, version: before.get(user.before.arm) ?? 0 },
        after: { ...user.after, version: after.get(user.after.arm) ?? 0 },
      })),
    };
  }

  /** One change moves the label and ends the rollout, so nobody is ever sent back. */
  async #promote(caller: Caller, rollout: Rollout, revision: number, reason: string) {
    const { name, label, promotedArm = CONTROL } = rollout;
    const { version } = await this.#source.find(caller, name, targetOf(rollout, promotedArm));
    const moves = [{ label, version }];
    const rollouts = { promotedArm, revision };
    const { previous } = await this.#source.setLabels(caller, { name, moves, reason, rollouts });
    return { rollout: await this.get(caller, rollout), previous };
  }

  /** Asks for each once. */
  #lookup(caller: Caller, name: string): VersionAt {
    const asked = new Map<string, Promise<number | PromptdError>>();
    return (selector) => {
      const text = selectorText({ selector });
      const found = asked.get(text) ?? this.#versionAt(caller, name, selector);
      asked.set(text, found);
      return found;
    };
  }

  async #versionAt(
    caller: Caller,
    name: string,
    selector: Selector,
  ): Promise<number | PromptdError> {
    try {
      return (await this.#source.find(caller, name, selector)).version;
    } catch (thrown) {
      const error = PromptdError.from(thrown);
      if (error.code !== "not_found") throw error;
      return error;
    }
  }
}

/** What a selector of the prompt leads to; that it is not there is a value. */
type VersionAt = (selector: Selector) => Promise<number | PromptdError>;

/** @throws invalid naming the arms that lead nowhere, and the label, which is control */
async function requireTargets({ label, arms }: Rollout, versionAt: VersionAt): Promise<void> {
  const targets = [
    { field: "label", selector: { label } },
    ...arms.map(({ target }, index) => ({ field: fieldOf(target, index), selector: target })),
  ];
  const violations = await Promise.all(
    targets.map(async ({ field, selector }): Promise<Violation[]> => {
      const found = await versionAt(selector);
      return found instanceof PromptdError ? [{ field, description: found.message }] : [];
    }),
  );
  const all = violations.flat();
  if (all.length > 0) throw PromptdError.invalid(...all);
}

/** What control and each arm lead to; what is not there is left out. */
async function versionsOf(
  { label }: RolloutKey,
  rollout: Rollout | undefined,
  versionAt: VersionAt,
): Promise<Map<string, number>> {
  const { promotedArm = CONTROL, arms = [] } = rollout ?? {};
  const control = rollout === undefined ? { label } : targetOf(rollout, promotedArm);
  const splits = rollout !== undefined && !hasEnded(rollout);
  const sides = [{ name: CONTROL, target: control }, ...(splits ? arms : [])];
  const versions = await Promise.all(
    sides.map(async (side): Promise<[string, number][]> => {
      const found = await versionAt(side.target);
      return found instanceof PromptdError ? [] : [[side.name, found]];
    }),
  );
  return new Map(versions.flat());
}

function fieldOf(target: Selector, index: number): string {
  return `definition.arms[${index}].${"label" in target ? "label" : "version"}`;
}
