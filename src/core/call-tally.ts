import type { Answered, AnswerListener } from "./answered.ts";
import type { Choice } from "./choice.ts";
import { FALLBACK_VERSION } from "./prompt.ts";

/** What calls are counted by. */
export interface CountedBy {
  project: string;
  /** The prompt. */
  name: string;
  version: number;
  /** What was asked for; empty: the version by its number. */
  label: string;
  /** Whose answer it was; empty: there was no rollout. */
  arm: string;
}

export interface CallCount extends CountedBy {
  calls: number;
}

/** Counts the calls that are answered, but for those that a fallback file answers. */
export class CallTally implements AnswerListener {
  readonly #most: number;
  readonly #counts = new Map<string, CallCount>();
  /** So that most calls are counted without a text to look up. It keeps no choice alive. */
  readonly #byChoice = new WeakMap<Choice, { calls: number }>();
  readonly #beyond = { calls: 0 };

  /** @param most different counts that are kept */
  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#counts.size;
  }

  get counts(): Iterable<Readonly<CallCount>> {
    return this.#counts.values();
  }

  /** Calls for whose counts there was no room. */
  get beyond(): number {
    return this.#beyond.calls;
  }

  answered({ caller, resolved: { choice } }: Pick<Answered, "caller" | "resolved">): void {
    let count = this.#byChoice.get(choice);
    if (count === undefined) {
      count = this.#countOf(countedBy(caller.project, choice));
      this.#byChoice.set(choice, count);
    }
    count.calls++;
  }

  #countOf(by: CountedBy): { calls: number } {
    if (by.version === FALLBACK_VERSION) return { calls: 0 };
    const key = JSON.stringify(Object.values(by));
    const known = this.#counts.get(key);
    if (known !== undefined) return known;
    if (this.#counts.size === this.#most) return this.#beyond;
    const count = { ...by, calls: 0 };
    this.#counts.set(key, count);
    return count;
  }
}

function countedBy(project: string, { answer, asked, rollout }: Choice): CountedBy {
  const { name, version } = answer.version;
  const label = "label" in asked ? asked.label : "";
  return { project, name, version, label, arm: rollout?.arm ?? "" };
}
