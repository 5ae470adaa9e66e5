/** The tier that processes share, between their memories and the source. */

import {
  type CachedPrompt,
  type LookOutcome,
  type Position,
  type PromptKey,
  type SharedCache,
  type SharedLook,
  type SharedPrompt,
  type TierObserver,
  UNOBSERVED,
} from "./cache-ports.ts";
import type { PromptVersion } from "./prompt.ts";

/** For so long the source is left to the process that asks it. */
const WAIT_MS = 2000;

/** Between looks at whether that process has put its answer, growing by a quarter each time. */
const LOOKS_MS = { first: 1, most: 50 };

export interface SharedTierParts {
  cache: SharedCache;
  /** Where this process stands. */
  position: () => Position;
  /** How long what was read is answered before the source is asked again, in milliseconds. */
  freshMs: number;
  /** Milliseconds since 1970. */
  now: () => number;
  /**
   * Whose claims are this process's. It asks for one thing once at a time, so a claim of
   * its own that is in its way was made for a look of which it never heard.
   */
  claim: string;
  observer?: Pick<TierObserver, "looked">;
}

/** An answer of what is shared, or of the source. */
export interface Read extends CachedPrompt {
  readonly tier: "redis" | "source";
}

/** Lets one process ask the source for what none has, while the others wait for its answer. */
export class SharedTier {
  readonly #parts: SharedTierParts;

  constructor(parts: SharedTierParts) {
    this.#parts = parts;
  }

  get freshMs(): number {
    return this.#parts.freshMs;
  }

  /**
   * @param newerThan when that was read which is asked for again; milliseconds since 1970
   * @throws what the source throws
   */
  async read(key: PromptKey, newerThan: number, load: () => Promise<PromptVersion>): Promise<Read> {
    const { cache, position, freshMs, now, claim, observer = UNOBSERVED } = this.#parts;
    const since = Math.max(newerThan, now() - freshMs);
    const asked = performance.now();
    const { look, at } = await this.#look(key, since);
    observer.looked(outcomeOf(look), (performance.now() - asked) / 1000);
    if (isPrompt(look)) return { ...look, asOf: at.revision, tier: "redis" };
    const release = () => (look === "claimed" ? cache.release(key, claim) : undefined);
    const stood = position();
    const readAt = now();
    try {
      const version = await load();
      // The caller does not wait until the others can have it too.
      void cache.put(key, { version, readAt }, stood).then(release);
      return { version, readAt, asOf: stood.revision, tier: "source" };
    } catch (thrown) {
      void release();
      throw thrown;
    }
  }

  /** What is shared, however long ago it was read; it lacks no change that was heard of. */
  async any(key: PromptKey): Promise<CachedPrompt | undefined> {
    const { cache, position } = this.#parts;
    const at = position();
    const look = await cache.look(key, at, 0, undefined);
    return isPrompt(look) ? { ...look, asOf: at.revision } : undefined;
  }

  remove(key: PromptKey): Promise<void> {
    return this.#parts.cache.remove(key);
  }

  async #look(key: PromptKey, since: number) {
    const { cache, position, claim } = this.#parts;
    let pause = LOOKS_MS.first;
    for (let waited = 0; ; waited += pause) {
      const at = position();
      const look: SharedLook = await cache.look(key, at, since, claim);
      if (look !== "busy" || waited > WAIT_MS) return { look, at };
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(1.25 * pause, LOOKS_MS.most);
    }
  }
}

function outcomeOf(look: SharedLook): LookOutcome {
  if (isPrompt(look)) return "found";
  return look === "apart" ? "apart" : "missing";
}

function isPrompt(look: SharedLook): look is SharedPrompt {
  return typeof look === "object";
}
