/** Where answers come from, in order: memory, what processes share, the source, and what is left without it. */

import {
  type CachedPrompt,
  type ChangeFeed,
  type FallbackPrompts,
  type KeptPrompt,
  type LastKnownGood,
  type MemoryCache,
  type PromptKey,
  type ReadOutcome,
  type Tier,
  type TierObserver,
  UNOBSERVED,
} from "./cache-ports.ts";
import { isUnreachable, PromptdError, throwIfAborted } from "./errors.ts";
import { Flights } from "./flights.ts";
import type { PromptSource } from "./ports.ts";
import { keyText } from "./prompt-key.ts";
import type { Read, SharedTier } from "./shared-tier.ts";
import { within } from "./within.ts";

export interface Found {
  readonly prompt: CachedPrompt;
  readonly tier: Tier;
  /** Nobody can say whether it has changed. */
  readonly stale: boolean;
}

export interface TiersParts {
  memory: MemoryCache;
  shared?: SharedTier | undefined;
  source: Pick<PromptSource, "load">;
  /** Asked in this order, only when the source cannot be reached. */
  lastKnownGood: LastKnownGood;
  fallback: FallbackPrompts;
  feed: ChangeFeed;
  /** How long memory answers before the source is asked again, in milliseconds. */
  freshMs: number;
  /** Milliseconds since 1970. */
  now: () => number;
  /** From 0 to 1, for jitter. */
  random: () => number;
  observer?: Pick<TierObserver, "missed" | "read" | "notRefreshed">;
}

/** How long it is remembered that something does not exist. */
const MISSING_MS = 3000;

/** Things of which it is remembered that they do not exist. */
const MOST_MISSING = 10_000;

/** A source that was not reached is tried again after this time, give or take a tenth. */
const RETRY_MS = 500;

/** A read that takes longer goes on behind, for callers who can be given something else. */
const PATIENCE_MS = 1000;

/** The same for a while after one took longer: who includes others would else wait so long for each of them. */
const LITTLE_PATIENCE_MS = 100;

/** Reads that were overtaken by a change are done again, so often. */
const ATTEMPTS = 3;

/** Who asks the source, for whatever caller. */
const ACTOR = "promptd";

/**
 * Answers from the first tier that can. One read of the source for each thing at
 * a time, however many wait for it.
 */
export class Tiers {
  readonly #parts: TiersParts;
  readonly #observer: NonNullable<TiersParts["observer"]>;
  readonly #flights = new Flights<Found>();
  /** What callers wait for: a flight, or what stands in for one that takes long. */
  readonly #waits = new Flights<Found>();
  readonly #missing = new Map<string, { error: PromptdError; until: number }>();
  /** How often all that was kept was lost: what was read before is not kept after. */
  #losses = 0;
  /** Until then there is little patience; milliseconds since 1970. */
  #impatientUntil = 0;

  constructor(parts: TiersParts) {
    this.#parts = parts;
    this.#observer = parts.observer ?? UNOBSERVED;
    parts.feed.subscribe({
      changed: ({ project, name, revision }) => {
        this.#missing.clear();
        this.#flights.changed({ project, name });
        this.#waits.changed({ project, name });
        // Whoever asks next finds it there, or on its way.
        for (const key of parts.memory.forget(project, name, revision)) {
          this.#flight(key).catch(() => {});
        }
      },
      lost: () => {
        parts.memory.clear();
        this.#missing.clear();
        this.#flights.clear();
        this.#waits.clear();
        this.#losses++;
      },
    });
  }

  /** What memory has, at once. What is past its time is asked for again behind. */
  peek(key: PromptKey): Found | undefined {
    const { memory, feed, now } = this.#parts;
    const kept = memory.get(key);
    if (kept === undefined) return undefined;
    if (kept.refreshAt <= now()) this.#refresh(key, kept);
    return { prompt: kept, tier: kept.tier, stale: kept.stale || feed.silent };
  }

  /** @throws not_found, unavailable; canceled for a caller that is gone */
  async find(key: PromptKey, signal: AbortSignal | undefined): Promise<Found> {
    throwIfAborted(signal);
    const known = this.peek(key);
    if (known !== undefined) return known;
    this.#observer.missed();
    const missing = this.#missing.get(keyText(key));
    if (missing !== undefined && missing.until > this.#parts.now()) throw missing.error;
    const wait = this.#waits.share(key, () => this.#patiently(key, this.#flight(key)));
    return untilAborted(wait, signal);
  }

  async #patiently(key: PromptKey, flight: Promise<Found>): Promise<Found> {
    const { now } = this.#parts;
    const patienceMs = now() < this.#impatientUntil ? LITTLE_PATIENCE_MS : PATIENCE_MS;
    try {
      const found = await within(patienceMs, flight);
      if (found !== undefined) return found;
      this.#impatientUntil = now() + RETRY_MS;
      return (await this.#standIn(key)) ?? this.peek(key) ?? (await flight);
    } catch (thrown) {
      // What stands in may have been put there for another read of the same.
      const kept = isUnreachable(thrown) ? this.peek(key) : undefined;
      if (kept === undefined) throw thrown;
      return kept;
    }
  }

  #flight(key: PromptKey): Promise<Found> {
    return this.#flights.share(key, () => this.#read(key));
  }

  async #read(key: PromptKey): Promise<Found> {
    const { memory, shared, feed, lastKnownGood } = this.#parts;
    for (let attempt = 1; ; attempt++) {
      const asOf = feed.applied;
      const losses = this.#losses;
      const read = await this.#load(key);
      if (read instanceof PromptdError) {
        // A change that came in meanwhile may have made it.
        const stands = feed.applied === asOf && losses === this.#losses;
        if (!stands && attempt < ATTEMPTS) continue;
        if (stands) {
          this.#rememberMissing(key, read);
          lastKnownGood.remove(key);
          await shared?.remove(key);
        }
        throw read;
      }
      if ("prompt" in read) return read;
      const kept = this.#fresh(read);
      const { revision } = read.version;
      // What was read is ahead of what was heard of; a restore may take it back before it is.
      if (revision > feed.applied) await feed.catchUp().catch(() => {});
      const ahead = revision > feed.applied;
      // A change came in while the source was asked; it may not be in the answer.
      const overtaken = ahead || losses !== this.#losses || !memory.put(key, kept);
      if (!overtaken) lastKnownGood.put(key, kept);
      if (!overtaken || attempt === ATTEMPTS) {
        return { prompt: kept, tier: read.tier, stale: feed.silent };
      }
    }
  }

  /** What is shared or the source's answer, or what stands in for it; not_found as a value. @throws what else it fails with */
  async #load(key: PromptKey): Promise<Read | Found | PromptdError> {
    const { memory, shared, source, feed, now } = this.#parts;
    const { project, name, selector } = key;
    const load = async () => {
      const asked = performance.now();
      let outcome: ReadOutcome = "failed";
      try {
        const version = await source.load({ project, actor: ACTOR }, name, selector);
        outcome = "found";
        return version;
      } catch (thrown) {
        if (PromptdError.from(thrown).code === "not_found") outcome = "not_found";
        throw thrown;
      } finally {
        this.#observer.read(outcome, (performance.now() - asked) / 1000);
      }
    };
    try {
      if (shared !== undefined) return await shared.read(key, memory.get(key)?.readAt ?? 0, load);
      const asOf = feed.applied;
      const readAt = now();
      return { version: await load(), asOf, readAt, tier: "source" };
    } catch (thrown) {
      const error = PromptdError.from(thrown);
      if (error.code === "not_found") return error;
      if (!isUnreachable(error)) throw error;
      const standIn = await this.#standIn(key);
      if (standIn === undefined) throw error;
      return standIn;
    }
  }

  #fresh({ tier, version, asOf, readAt }: Read): KeptPrompt {
    const { shared, freshMs, now } = this.#parts;
    const until = now() + this.#jittered(freshMs);
    const sharedUntil = tier === "redis" ? readAt + (shared?.freshMs ?? 0) : until;
    const refreshAt = Math.min(until, sharedUntil);
    return { version, asOf, readAt, refreshAt, stale: false, tier: "memory" };
  }

  /** Kept in memory too, until the source is tried again. What memory has already needs none. */
  async #standIn(key: PromptKey): Promise<Found | undefined> {
    const { memory, shared, feed, lastKnownGood, now } = this.#parts;
    if (memory.get(key) !== undefined) return undefined;
    const prompt = (await shared?.any(key)) ?? lastKnownGood.get(key) ?? this.#fallbackPrompt(key);
    if (prompt === undefined || memory.get(key) !== undefined) return undefined;
    const kept: KeptPrompt = {
      version: prompt.version,
      // Of earlier changes it may lack some, which it admits by being stale.
      asOf: feed.applied,
      readAt: prompt.readAt,
      refreshAt: now() + this.#jittered(RETRY_MS),
      stale: true,
      tier: "fallback",
    };
    memory.put(key, kept);
    return { prompt: kept, tier: "fallback", stale: true };
  }

  /** Nobody can say which of a prompt's versions a file is. */
  #fallbackPrompt({ project, name, selector }: PromptKey) {
    if ("version" in selector) return undefined;
    const version = this.#parts.fallback.find(project, name);
    return version && { version, readAt: version.updatedAt.getTime() };
  }

  #rememberMissing(key: PromptKey, error: PromptdError): void {
    if (this.#missing.size >= MOST_MISSING) this.#missing.clear();
    this.#missing.set(keyText(key), { error, until: this.#parts.now() + MISSING_MS });
  }

  /** Behind the caller's back. */
  #refresh(key: PromptKey, kept: KeptPrompt): void {
    const { memory, now } = this.#parts;
    if (this.#flights.has(key)) return;
    this.#flight(key).catch((thrown: unknown) => {
      if (PromptdError.from(thrown).code === "not_found") {
        memory.remove(key);
        return;
      }
      this.#observer.notRefreshed();
      kept.stale = true;
      kept.refreshAt = now() + this.#jittered(RETRY_MS);
    });
  }

  /** Spreads what was read at one time. */
  #jittered(ms: number): number {
    return ms * (0.9 + 0.2 * this.#parts.random());
  }
}

/** The work goes on for the others who wait for it. */
async function untilAborted<Result>(
  work: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return work;
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => {
      try {
        throwIfAborted(signal);
      } catch (error) {
        reject(error);
      }
    };
    signal.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
