/** All that a promptd may have behind it, as processes that can fail. */

import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "@connectrpc/connect";
import type { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { type FaultyProxy, type HttpFault, httpProxy } from "../support/faulty-proxy.ts";
import { firstKey } from "../support/first-key.ts";
import { Load, type Question } from "../support/load.ts";
import { freePort } from "../support/ports.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";

/** `promptd serve` as a process of its own. */
export interface Started {
  grpcAddress: string;
  prompts: Client<typeof PromptService>;
  stop(signal?: NodeJS.Signals): Promise<unknown>;
}

/** @param user whom it runs as; undefined: as who starts it */
export type Start = (env: Record<string, string>, user?: User) => Promise<Started>;

export interface User {
  uid: number;
  gid: number;
}

/** Root may write everywhere, so for it no folder is read-only. */
const NOBODY: User | undefined =
  process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined;

/** Whether it may read a program of this folder. */
export function canRunAsNobody(program: string): boolean {
  const look = ["-e", `for (const path of ["node_modules", "${program}"]) fs.accessSync(path)`];
  return NOBODY === undefined || spawnSync(process.execPath, look, NOBODY).status === 0;
}

/** So short that what is behind memory is asked while it is gone. */
const FRESH = { PROMPTD_MEMORY_FRESH: "1s", PROMPTD_REDIS_FRESH: "1s" };

/** A caller who waits longer has no answer. */
const DEADLINE_MS = 2000;

/** What is not fresh by then will not be. */
export const LIMIT_MS = 15_000;

const NAMES = Array.from({ length: 6 }, (_, index) => `prompt ${index}`);

/** Included by another prompt. */
const PART = "part";

/** What calls are made with. */
type Secret = { headers: { authorization: string } };

/** A promptd that has Redis, PostgreSQL and, as its Langfuse, another promptd behind it. */
export class World {
  readonly redis: RedisServer;
  readonly postgres: PostgresServer;
  readonly proxy: FaultyProxy<HttpFault>;
  readonly load: Load;
  readonly #start: Start;
  readonly #folder: string;
  readonly #upstreamEnv: Record<string, string>;
  readonly #questions: Question[];
  readonly #started: Started[] = [];
  /** Label `production` of all prompts is there. */
  #version = 2;
  #env: Record<string, string> = {};
  #upstream!: Started;
  #upstreamSecret!: Secret;
  #promptd!: Started;
  #secret!: Secret;

  private constructor(
    start: Start,
    folder: string,
    parts: Pick<World, "redis" | "postgres" | "proxy">,
    upstreamEnv: Record<string, string>,
  ) {
    this.#start = start;
    this.#folder = folder;
    this.#upstreamEnv = upstreamEnv;
    this.redis = parts.redis;
    this.postgres = parts.postgres;
    this.proxy = parts.proxy;
    this.#questions = [
      ...NAMES.map((name) => ({ name, right: this.#version })),
      ...NAMES.slice(0, 3).map((name) => ({ name, version: 1, right: 1 })),
      { name: "whole", right: this.#version },
    ];
    this.load = new Load(this.#questions, ({ name, version }) => {
      const selector =
        version === undefined
          ? ({ case: undefined } as const)
          : ({ case: "version", value: version } as const);
      const options = { ...this.#secret, timeoutMs: DEADLINE_MS };
      return this.#promptd.prompts.getPrompt({ name, selector }, options);
    });
  }

  /**
   * Begins the load too, and waits until all answers are fresh.
   *
   * @param env of the promptd that is asked
   * @returns undefined where no PostgreSQL is installed
   */
  static async begin(start: Start, env: Record<string, string>): Promise<World | undefined> {
    const postgres = await startPostgres();
    if (postgres === undefined) return undefined;
    const folder = mkdtempSync(join(tmpdir(), "promptd-faults-"));
    const redis = await startRedis();
    const httpAddress = `127.0.0.1:${await freePort()}`;
    const proxy = await httpProxy(`http://${httpAddress}`);
    const world = new World(
      start,
      folder,
      { redis, postgres, proxy },
      {
        PROMPTD_HTTP_LISTEN: httpAddress,
        PROMPTD_DATA_DIR: join(folder, "upstream"),
      },
    );
    try {
      await world.#begin(env);
    } catch (error) {
      await world.end();
      throw error;
    }
    return world;
  }

  async #begin(env: Record<string, string>): Promise<void> {
    chmodSync(this.#folder, 0o755);
    await this.startSource();
    const { id, secret } = await firstKey(this.#upstream);
    this.#upstreamSecret = bearer(secret);
    const template = { case: "text", value: "a text that is answered" } as const;
    for (const name of [...NAMES, PART]) {
      await this.#create(name, template);
      await this.#create(name, { ...template, value: "another text that is answered" });
    }
    const tag = `@@@langfusePrompt:name=${PART}|label=production@@@`;
    await this.#create("whole", { ...template, value: `what includes ${tag}` });
    const dataDir = mkdtempSync(join(this.#folder, "data-"));
    if (NOBODY !== undefined) chownSync(dataDir, NOBODY.uid, NOBODY.gid);
    this.#env = {
      PROMPTD_DATA_DIR: dataDir,
      PROMPTD_DATABASE_URL: this.postgres.url,
      PROMPTD_REDIS_URL: this.redis.url,
      PROMPTD_SOURCE: "langfuse",
      LANGFUSE_BASE_URL: this.proxy.url,
      LANGFUSE_PUBLIC_KEY: id,
      LANGFUSE_SECRET_KEY: secret,
      ...FRESH,
      ...env,
    };
    await this.startPromptd();
    this.#secret = bearer((await firstKey(this.#promptd)).secret);
    this.load.start();
    await this.load.fresh(LIMIT_MS);
  }

  #create(name: string, template: { case: "text"; value: string }) {
    const version = { name, template, labels: ["production"] };
    return this.#upstream.prompts.createVersion(version, this.#upstreamSecret);
  }

  /** Moves label `production` of all prompts to their other version in the source. */
  async move(): Promise<void> {
    const version = 3 - this.#version;
    const moves = [{ label: "production", version }];
    for (const name of [...NAMES, PART]) {
      await this.#upstream.prompts.setLabels({ name, moves }, this.#upstreamSecret);
    }
    for (const question of this.#questions) {
      if (question.version === undefined) question.right = version;
    }
    this.#version = version;
  }

  async startSource(): Promise<void> {
    this.#upstream = await this.#begun(this.#upstreamEnv);
  }

  async #begun(...how: Parameters<Start>): Promise<Started> {
    const started = await this.#start(...how);
    this.#started.push(started);
    return started;
  }

  async killSource(): Promise<void> {
    await this.#upstream.stop("SIGKILL");
  }

  async startPromptd(): Promise<void> {
    this.#promptd = await this.#begun(this.#env, NOBODY);
  }

  async killPromptd(): Promise<void> {
    await this.#promptd.stop("SIGKILL");
  }

  /** Lets promptd write its data directory, or not. */
  allowWrites(allowed: boolean): void {
    const folder = this.#env.PROMPTD_DATA_DIR as string;
    for (const file of readdirSync(folder)) chmodSync(join(folder, file), allowed ? 0o600 : 0o400);
    chmodSync(folder, allowed ? 0o700 : 0o500);
  }

  async end(): Promise<void> {
    await this.load.stop();
    for (const started of this.#started) await started.stop("SIGKILL");
    this.proxy.close();
    await this.redis.remove();
    await this.postgres.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function bearer(secret: string): Secret {
  return { headers: { authorization: `Bearer ${secret}` } };
}
