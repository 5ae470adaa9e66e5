import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { expect } from "vitest";
import { LastKnownFile } from "../../src/cache/last-known-good.ts";
import { Memory } from "../../src/cache/memory.ts";
import { openRedis, type SharedRedis } from "../../src/cache/redis/redis.ts";
import type { ChangeTail } from "../../src/core/cache-ports.ts";
import { canonicalBody, contentHash } from "../../src/core/content-hash.ts";
import { PromptdError } from "../../src/core/errors.ts";
import { Feed } from "../../src/core/feed.ts";
import type { PromptVersion, Selector } from "../../src/core/prompt.ts";
import { Resolver } from "../../src/core/resolver.ts";
import { SharedTier } from "../../src/core/shared-tier.ts";
import { Tiers } from "../../src/core/tiers.ts";
import { changeTail } from "../../src/store/change-tail.ts";
import type { Database } from "../../src/store/database.ts";
import { Registry } from "../../src/store/registry.ts";
import { NO_ROLLOUTS } from "../support/no-rollouts.ts";

export const CALLER = { project: "default", actor: "model" };

export const FRESH_MS = 10_000;

/** How long it is remembered that something does not exist. */
export const MISSING_MS = 3000;

/** What a selector leads to, or why it leads nowhere. */
export type Told = string;

/** An answer, and what it says of itself. */
export interface Answered {
  told: Told;
  stale: boolean;
  /** When what it tells was read at the earliest, on the clock of the run. */
  readAt: number;
}

/** What all replicas of a run share. */
export interface World {
  database: Database;
  redisUrl: string | undefined;
  directory: string;
  /** Milliseconds; steps move it on. */
  now: number;
}

const CUT = "cut from the database";

let ids = 0;

const newId = () => `id-${++ids}`;

/** A process that answers from its memory, with a source that takes its time. */
export class Replica {
  readonly #world: World;
  readonly #file: string;
  readonly #redises: SharedRedis[] = [];
  #lastKnown: LastKnownFile | undefined;
  #feed!: Feed;
  #resolver!: Resolver;
  /** The last moment of which it has heard all. */
  heard = 0;
  cutFromDatabase = false;
  cutFromRedis = false;

  constructor(world: World, index: number) {
    this.#world = world;
    this.#file = join(world.directory, `last-known-good-${index}.db`);
  }

  async start(moment: number): Promise<void> {
    const { database } = this.#world;
    await this.stop();
    const registry = new Registry(database);
    const history = changeTail(database);
    const tail: ChangeTail = {
      newest: () => this.#reached(() => history.newest()),
      from: (...asked) => this.#reached(() => history.from(...asked)),
    };
    const redis = await this.#openRedis();
    const now = () => this.#world.now;
    this.#feed = new Feed(tail, {
      pollMs: 3_600_000,
      now,
      ...(redis && { stream: redis.stream }),
    });
    const feed = this.#feed;
    const memory = new Memory(64 * 1024);
    this.#lastKnown = new LastKnownFile(this.#file, (_, cause) => {
      throw cause;
    });
    const tiers = new Tiers({
      memory,
      shared:
        redis &&
        new SharedTier({
          cache: redis.prompts,
          position: () => feed.position,
          freshMs: 3 * FRESH_MS,
          now,
          claim: newId(),
        }),
      source: {
        load: (_, name, selector) => this.#slowly(() => registry.load(CALLER, name, selector)),
      },
      lastKnownGood: this.#lastKnown,
      fallback: { find: () => undefined },
      feed,
      freshMs: FRESH_MS,
      now,
      random: () => 0.5,
    });
    this.#resolver = new Resolver({ tiers, rollouts: NO_ROLLOUTS, memory, now });
    await feed.start();
    this.heard = moment;
  }

  /** What it has read is still being handed on; so is what others wait for. */
  async stop(): Promise<void> {
    this.#feed?.close();
    this.#lastKnown?.close();
  }

  close(): void {
    this.stop();
    for (const redis of this.#redises) redis.close();
  }

  async catchUp(moment: number): Promise<void> {
    try {
      await this.#feed.catchUp();
    } catch (thrown) {
      expect(PromptdError.from(thrown).code).toBe("unavailable");
      return;
    }
    if (!this.cutFromDatabase) this.heard = Math.max(this.heard, moment);
  }

  /** @returns undefined where nobody could be asked */
  async ask(name: string, selector: Selector): Promise<Answered | undefined> {
    const asked = this.#world.now;
    try {
      const { choice, stale, ageMs } = await this.#resolver.resolve(CALLER, { name, selector });
      const { version } = choice.answer;
      expect(contentHash(canonicalBody(version.body))).toBe(version.contentHash);
      return { told: told(version), stale, readAt: asked - ageMs };
    } catch (thrown) {
      if (PromptdError.from(thrown).message === CUT) return undefined;
      return { told: told(thrown), stale: false, readAt: this.#world.now };
    }
  }

  async #openRedis(): Promise<SharedRedis | undefined> {
    const { redisUrl } = this.#world;
    if (redisUrl === undefined) return undefined;
    const redis = openRedis({
      sourceOf: () => "registry",
      url: redisUrl,
      newId,
      onState() {},
      circuit: {
        run: async (work) => {
          if (this.cutFromRedis) throw new PromptdError("unavailable", "cut from Redis");
          return work();
        },
      },
    });
    this.#redises.push(redis);
    await redis.open("the model's database");
    return redis;
  }

  async #reached<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.cutFromDatabase) throw new PromptdError("unavailable", CUT);
    return work();
  }

  async #slowly<Result>(work: () => Promise<Result>): Promise<Result> {
    await setImmediate();
    const outcome = await this.#reached(work).then(
      (result) => () => result,
      (error) => () => {
        throw error;
      },
    );
    await setImmediate();
    return outcome();
  }
}

/** What stands in an answer, or "nothing". @throws what is no answer */
export function told(outcome: PromptVersion | unknown): Told {
  if (outcome instanceof PromptdError && outcome.code === "not_found") return "nothing";
  if (outcome instanceof Error) throw outcome;
  const { name, version, body, labels, tags } = outcome as PromptVersion;
  return JSON.stringify({ name, version, body, labels, tags });
}
