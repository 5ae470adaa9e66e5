/** Ends a sync wherever a test wants it: nothing is written and nobody is asked any more. */

import type { OnWrite } from "../../src/sync/disk.ts";
import type { SyncSource } from "../../src/sync/remote-side.ts";

export class Crash extends Error {
  override readonly name = "Crash";
}

export class Fate {
  #left = Number.POSITIVE_INFINITY;
  #isOver = false;
  /** What somebody else does right before the next change. */
  meanwhile: (() => Promise<void>) | undefined;

  /** @param steps writes and changes that are still made; none: all are */
  begin(steps: number | undefined): void {
    this.#left = steps ?? Number.POSITIVE_INFINITY;
    this.#isOver = false;
  }

  get onWrite(): OnWrite {
    return () => this.#step();
  }

  /** The source, which is not asked after the end, and may end before a change or after it. */
  of(source: SyncSource): SyncSource {
    const changes = ["createVersion", "setTags", "deleteVersions", "setLabels"];
    return new Proxy(source, {
      get: (target, method) => {
        const ask = target[method as keyof SyncSource].bind(target) as (
          ...args: unknown[]
        ) => Promise<unknown>;
        return async (...args: unknown[]) => {
          if (this.#isOver) throw new Crash();
          if (!changes.includes(String(method))) return ask(...args);
          await this.#meanwhile();
          this.#step();
          const answer = await ask(...args);
          this.#step();
          return answer;
        };
      },
    });
  }

  async #meanwhile(): Promise<void> {
    const { meanwhile } = this;
    this.meanwhile = undefined;
    await meanwhile?.();
  }

  #step(): void {
    if (this.#left <= 0) this.#isOver = true;
    if (this.#isOver) throw new Crash();
    this.#left -= 1;
  }
}
