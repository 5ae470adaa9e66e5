import type { GetPromptResponse } from "../../gen/promptd/v1/prompt_service_pb.ts";

/** What is asked over and over, and the version that is the right answer now. */
export interface Question {
  name: string;
  /** Without a label and a version: `production`. */
  label?: string;
  version?: number;
  /** The version of the part where the prompt includes one. */
  right: number;
}

/** What came of the calls since this was asked last. */
export interface Counted {
  calls: number;
  failures: string[];
  /** Answers that said that they may be stale. */
  stale: number;
  slowestMs: number;
}

/** Between two calls of one caller. */
const PAUSE_MS = 5;

/** Right answers for so long are no accident. */
const STEADY_MS = 500;

/** A steady load of GetPrompt: one caller for each question, who asks and asks. */
export class Load {
  readonly #questions: readonly Question[];
  readonly #ask: (question: Question) => Promise<GetPromptResponse>;
  /** Since when each question has right answers that are not stale, on the clock of `performance`. */
  readonly #freshSince = new Map<Question, number>();
  #freshFrom = 0;
  #counted = none();
  #callers: Promise<void>[] = [];
  #going = false;

  constructor(
    questions: readonly Question[],
    ask: (question: Question) => Promise<GetPromptResponse>,
  ) {
    this.#questions = questions;
    this.#ask = ask;
  }

  start(): void {
    this.#going = true;
    this.#callers = this.#questions.map((question) => this.#call(question));
  }

  /** Waits for the calls under way. */
  async stop(): Promise<void> {
    this.#going = false;
    await Promise.all(this.#callers);
  }

  counted(): Counted {
    const counted = this.#counted;
    this.#counted = none();
    return counted;
  }

  /**
   * Waits until all answers are right and not stale, and stay so for a while.
   * Answers to earlier calls do not count.
   *
   * @returns after how many milliseconds they were
   * @throws where they still are not after this time
   */
  async fresh(limitMs: number): Promise<number> {
    const began = performance.now();
    this.#freshFrom = began;
    this.#freshSince.clear();
    for (;;) {
      await pause();
      const now = performance.now();
      const since = Math.max(...this.#freshSince.values());
      const missing = this.#questions.filter((question) => !this.#freshSince.has(question));
      if (missing.length === 0 && now - since > STEADY_MS) return since - began;
      if (now - began > limitMs) {
        const names = missing.map(
          ({ name, label, version }) => `${name} ${label ?? version ?? ""}`,
        );
        throw new Error(`not fresh after ${limitMs} ms: ${names.join(", ")}`);
      }
    }
  }

  async #call(question: Question): Promise<void> {
    while (this.#going) {
      const { right } = question;
      const asked = performance.now();
      this.#counted.calls++;
      try {
        const { resolution } = await this.#ask(question);
        const version = resolution?.components.at(-1)?.version ?? resolution?.version;
        if (resolution?.stale !== false) this.#counted.stale++;
        const fresh = resolution?.stale === false && version === right;
        if (asked >= this.#freshFrom) this.#note(question, fresh);
      } catch (thrown) {
        this.#counted.failures.push(`${question.name}: ${thrown}`);
      }
      this.#counted.slowestMs = Math.max(this.#counted.slowestMs, performance.now() - asked);
      await pause();
    }
  }

  #note(question: Question, fresh: boolean): void {
    if (!fresh) this.#freshSince.delete(question);
    else if (!this.#freshSince.has(question)) this.#freshSince.set(question, performance.now());
  }
}

function none(): Counted {
  return { calls: 0, failures: [], stale: 0, slowestMs: 0 };
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
