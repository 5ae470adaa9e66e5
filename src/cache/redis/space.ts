import { once } from "node:events";
import { Redis, type RedisOptions, ReplyError } from "ioredis";
import type { Circuit } from "../../core/cache-ports.ts";
import { PromptdError } from "../../core/errors.ts";
import { SCRIPTS } from "./scripts.ts";

const CONNECT_TIMEOUT_MS = 1000;

/** A connection on which nothing was heard for so long, though something was asked, is made anew. */
const DEAD_MS = 2000;

/** Between attempts to connect: short, so that all is well soon after Redis is. */
const RECONNECT_MS = { first: 50, most: 500 };

/** It is told once in so long that Redis refuses what it is asked. */
const REFUSALS_MS = 60_000;

const PREFIX = "promptd:";

type Script = keyof typeof SCRIPTS;

type Reply = Buffer[];

export interface SpaceOptions {
  /** `redis://` or `rediss://`, with user, password and number of the database where needed. */
  url: string;
  circuit: Circuit;
  /** A fresh name of an epoch. */
  newId: () => string;
  /**
   * Told when Redis goes away and comes back, once a minute that it refuses what it is asked, and
   * when this process has begun a new epoch.
   */
  onState: (state: "reached" | "gone" | "refuses" | "renewed", cause?: unknown) => void;
}

/**
 * The part of a Redis that belongs to one promptd database, whose id stands there.
 *
 * All keys but the two that say so are of an epoch: a history that was replaced
 * by another one, as a restore does, begins a new epoch, and whatever was kept
 * before is out of reach at once. The stream goes with it; the rest expires by itself.
 */
export class RedisSpace {
  readonly #options: SpaceOptions;
  readonly #redis: Redis;
  readonly #connections: Redis[] = [];
  #databaseId: string | undefined;
  #epoch: string | undefined;
  #gone = false;
  #refusedAt = Number.NEGATIVE_INFINITY;

  constructor(options: SpaceOptions) {
    this.#options = options;
    const scripts = Object.entries(SCRIPTS).map(([name, lua]) => [commandOf(name), { lua }]);
    this.#redis = this.connect({ scripts: Object.fromEntries(scripts) });
    this.#redis.on("error", (cause) => this.#note("gone", cause));
    this.#redis.on("close", () => this.#note("gone"));
    this.#redis.on("ready", () => this.#note("reached"));
  }

  /** Another connection, for what holds one up; it is closed with the space. */
  connect(options: Pick<RedisOptions, "scripts" | "commandTimeout"> = {}): Redis {
    const redis = new Redis(this.#options.url, {
      connectionName: "promptd",
      connectTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: DEAD_MS,
      // What cannot be asked now is answered by others.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      retryStrategy: (times) =>
        Math.min(RECONNECT_MS.first * 2 ** Math.min(times, 10), RECONNECT_MS.most),
      ...options,
    });
    // Every command says so itself.
    redis.on("error", () => {});
    this.#connections.push(redis);
    return redis;
  }

  /**
   * Makes the space the database's. Before, nothing is asked of it. Where Redis
   * cannot be reached now, it is looked at later.
   *
   * @throws refused where it is another database's
   */
  async open(databaseId: string): Promise<void> {
    this.#databaseId = databaseId;
    try {
      const signal = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
      const connecting = this.#connections.filter(({ status }) => status !== "ready");
      await Promise.all(connecting.map((redis) => once(redis, "ready", { signal })));
      await this.#currentEpoch();
    } catch (thrown) {
      if (PromptdError.from(thrown).code === "refused") throw thrown;
    }
  }

  /** What the keys of the present epoch begin with. @throws refused, unavailable */
  async prefix(): Promise<string> {
    return `${PREFIX}${await this.#currentEpoch()}:`;
  }

  async #currentEpoch(): Promise<string> {
    if (this.#epoch !== undefined) return this.#epoch;
    if (this.#databaseId === undefined) {
      throw new PromptdError("unavailable", "nobody knows yet whose Redis this is");
    }
    const args = [this.#databaseId, this.#options.newId()];
    const [state, text] = await this.#command("open", [EPOCH_KEY, OWNER_KEY], args);
    if (String(state) === "owner") {
      const message = `this Redis belongs to the promptd database ${text}, and this one is ${this.#databaseId}: name another Redis, or another number of its databases (redis://HOST:PORT/1)`;
      const error = new PromptdError("refused", message);
      this.#note("gone", error);
      throw error;
    }
    this.#epoch = String(text);
    return this.#epoch;
  }

  /**
   * Runs a script in the present epoch.
   *
   * @param ask what it is given, from the prefix of the epoch's keys
   * @returns its reply, undefined where the epoch is over, of which the next run knows
   * @throws refused, unavailable
   */
  async run(
    script: Exclude<Script, "open">,
    ask: (prefix: string) => { keys?: string[]; args?: (string | number | Buffer)[] },
  ): Promise<Reply | undefined> {
    const epoch = await this.#currentEpoch();
    const { keys = [], args = [] } = ask(`${PREFIX}${epoch}:`);
    const reply = await this.#command(script, [EPOCH_KEY, ...keys], [epoch, ...args]);
    if (String(reply[0]) !== "epoch") return reply;
    if (this.#epoch === epoch) this.#epoch = undefined;
    return undefined;
  }

  /** Begins another epoch, unless somebody has. @throws refused, unavailable */
  async renew(): Promise<void> {
    const renewed = await this.run("renew", (prefix) => ({
      keys: [streamKey(prefix)],
      args: [this.#options.newId()],
    }));
    this.#epoch = undefined;
    if (renewed !== undefined) this.#options.onState("renewed");
  }

  /** Runs a command on the connection that all share. @throws unavailable */
  ask<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result> {
    return this.#options.circuit.run(async () => {
      try {
        return await work(this.#redis);
      } catch (cause) {
        throw cause instanceof ReplyError ? this.#refusal(cause as Error) : unreachable(cause);
      }
    });
  }

  close(): void {
    for (const redis of this.#connections) redis.removeAllListeners("close").disconnect();
  }

  #command(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number | Buffer)[],
  ): Promise<Reply> {
    return this.ask((redis) => {
      const commands = redis as unknown as Record<string, (...args: unknown[]) => unknown>;
      const command = commands[`${commandOf(script)}Buffer`];
      return command?.call(redis, keys.length, ...keys, ...args) as Promise<Reply>;
    });
  }

  /** It is full, a replica that cannot be written, or does not let this user run scripts. */
  #refusal(cause: Error): PromptdError {
    if (performance.now() - this.#refusedAt > REFUSALS_MS) {
      this.#refusedAt = performance.now();
      this.#options.onState("refuses", cause);
    }
    const [code] = /^[A-Z]+/.exec(cause.message) ?? ["ERR"];
    return new PromptdError("unavailable", `Redis refuses to work (${code})`, { cause });
  }

  /** Who comes back may have lost everything. */
  #note(state: "reached" | "gone", cause?: unknown): void {
    this.#epoch = undefined;
    if (this.#gone === (state === "gone")) return;
    this.#gone = state === "gone";
    this.#options.onState(state, cause);
  }
}

const EPOCH_KEY = `${PREFIX}epoch`;

/** Holds the id of the database. */
const OWNER_KEY = `${PREFIX}database`;

export function unreachable(cause: unknown): PromptdError {
  return new PromptdError("unavailable", "Redis cannot be reached", { cause });
}

export function streamKey(prefix: string): string {
  return `${prefix}changes`;
}

/** Holds a prompt by its selectors. Projects hold no colon, and names stand last. */
export function promptKey(
  prefix: string,
  { project, name }: { project: string; name: string },
  source: string,
): string {
  return `${prefix}prompt:${project}:${source}:${name}`;
}

function commandOf(script: string): string {
  return `promptd_${script}`;
}
