/** What users are answered while a release goes on, through several replicas. */

import type { ServiceProcess } from "../support/process.ts";

export const PROMPT = "support/triage";

/** Some have ids beyond ASCII. */
export const USERS = Array.from({ length: 200 }, (_, index) =>
  index % 5 === 0 ? `usuário-${index}-客` : `user-${index}`,
);

/** One answer to one user. */
export interface Seen {
  version: number;
  arm: string;
  rolloutRevision: bigint;
}

export async function ask({ prompts }: ServiceProcess, userId: string): Promise<Seen> {
  const { resolution } = await prompts.getPrompt({ name: PROMPT, userId });
  if (resolution === undefined) throw new Error("an answer without a resolution");
  const { version, arm, rolloutRevision } = resolution;
  return { version, arm, rolloutRevision };
}

/** What each of the users is answered now, in their order. */
export function askAll(replica: ServiceProcess): Promise<Seen[]> {
  return Promise.all(USERS.map((userId) => ask(replica, userId)));
}

/**
 * Asks for all the users over and over, through every replica, and records the
 * versions that each user was answered with, by replica: one after the other, each
 * once.
 */
export class Watchers {
  readonly #replicas: readonly ServiceProcess[];
  readonly #histories: Map<string, number[]>[];
  readonly #loops: Promise<void>[];
  /** How often each replica was asked for all users. */
  readonly #rounds: number[];
  #going = true;

  constructor(replicas: readonly ServiceProcess[]) {
    this.#replicas = replicas;
    this.#histories = replicas.map(() => new Map());
    this.#rounds = replicas.map(() => 0);
    this.#loops = replicas.map((_, index) => this.#watch(index));
  }

  /** Waits until everybody was asked for once more, from now on, everywhere. */
  async round(): Promise<void> {
    const before = [...this.#rounds];
    // The round that is under way began before.
    const isDone = () => this.#rounds.every((rounds, index) => rounds >= (before[index] ?? 0) + 2);
    while (this.#going && !isDone()) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  /** Takes what was recorded, and begins anew. */
  take(): Map<string, number[]>[] {
    return this.#histories.map((history) => {
      const taken = new Map(history);
      history.clear();
      return taken;
    });
  }

  async end(): Promise<void> {
    this.#going = false;
    await Promise.all(this.#loops);
  }

  async #watch(index: number): Promise<void> {
    const replica = this.#replicas[index] as ServiceProcess;
    const history = this.#histories[index] as Map<string, number[]>;
    while (this.#going) {
      for (const userId of USERS) {
        if (!this.#going) break;
        const { version } = await ask(replica, userId);
        const versions = history.get(userId) ?? [];
        if (versions.at(-1) !== version) history.set(userId, [...versions, version]);
      }
      this.#rounds[index] = (this.#rounds[index] ?? 0) + 1;
    }
  }
}
