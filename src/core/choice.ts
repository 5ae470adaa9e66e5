/** Why a caller is given a version. */

import type { Answer } from "./answer.ts";
import { FALLBACK_VERSION, type Selector } from "./prompt.ts";
import type { Assignment, StandingRollout } from "./rollout/rollout.ts";
import { CONTROL } from "./rollout/table.ts";

/** `version`: it was asked for by number. `fallback`: it is the operator's file. */
export type Reason = "version" | "label" | "split" | "override" | "fallback";

/**
 * An answer, and what led to it. The same object tells the same, so what is derived
 * from it can be kept beside it.
 */
export interface Choice {
  readonly answer: Answer;
  readonly asked: Selector;
  readonly reason: Reason;
  /** Of the label that was asked for, where it has one. */
  readonly rollout?: {
    readonly revision: number;
    /** Whose answer it is: an arm's name, or `control`. */
    readonly arm: string;
    /** The arm that was given, which could not be answered with; control answers. */
    readonly unresolvedArm?: string;
  };
}

type ByRollout = WeakMap<StandingRollout, Map<string, Choice>>;

/** Makes choices, and finds those again that were made before. They are kept no longer than their answers. */
export class Choices {
  readonly #plain = new WeakMap<Answer, Choice>();
  /** In the end by why an arm was given, which, and whether it is its answer. */
  readonly #split = new WeakMap<Answer, ByRollout>();

  /** Without a rollout: an answer is asked for in one way. */
  plain(answer: Answer, asked: Selector): Choice {
    let choice = this.#plain.get(answer);
    if (choice === undefined) {
      choice = { answer, asked, reason: reasonOf(answer, asked) };
      this.#plain.set(answer, choice);
    }
    return choice;
  }

  /**
   * @param assignment the caller's
   * @param resolved whether it is that arm's answer; else control's
   */
  split(
    answer: Answer,
    rollout: StandingRollout,
    { arm, reason }: Pick<Assignment, "arm" | "reason">,
    resolved: boolean,
  ): Choice {
    const ofAnswer: ByRollout = this.#split.get(answer) ?? new WeakMap();
    this.#split.set(answer, ofAnswer);
    const choices: Map<string, Choice> = ofAnswer.get(rollout) ?? new Map();
    ofAnswer.set(rollout, choices);
    const given = `${reason} ${arm} ${resolved}`;
    const known = choices.get(given);
    if (known !== undefined) return known;
    const asked = { label: rollout.label };
    const { revision } = rollout;
    const choice: Choice = resolved
      ? { answer, asked, reason: reasonOf(answer, asked, reason), rollout: { revision, arm } }
      : {
          answer,
          asked,
          reason: reasonOf(answer, asked),
          rollout: { revision, arm: CONTROL, unresolvedArm: arm },
        };
    choices.set(given, choice);
    return choice;
  }
}

function reasonOf(
  { version }: Answer,
  asked: Selector,
  assigned: Assignment["reason"] = "label",
): Reason {
  if (version.version === FALLBACK_VERSION) return "fallback";
  return "version" in asked ? "version" : assigned;
}
