/**
 * How long after SetLabels, or SetRollout, on one replica the last of eight answers
 * with the new version: with one Redis, without, and for a client that keeps prompts
 * itself.
 *
 * Once the call is acknowledged, each replica is asked over and over by one caller, with a pause of
 * a millisecond, so a time is about two milliseconds too long at most.
 */

import { setTimeout } from "node:timers/promises";
import { Langfuse } from "langfuse";
import { startPostgres } from "../test/support/postgres-server.ts";
import { startRedis } from "../test/support/redis-server.ts";
import { type Replica, startReplica } from "./replicas.ts";
import { report, row } from "./report.ts";

const REPLICAS = 8;
const ROUNDS = 200;
const GIVEN_UP_MS = 10_000;

/** Between two calls of one caller: eight in one process would else wait for each other. */
const PAUSE_MS = 1;

const NAME = "rollback";

/** Of each move, in milliseconds. */
interface Times {
  called: number[];
  acknowledged: number[];
}
const VERSIONS = [1, 2] as const;

const postgres = await startPostgres();
if (postgres === undefined) throw new Error("no PostgreSQL is installed");
const redis = await startRedis();

try {
  const shared = { PROMPTD_REDIS_URL: redis.url };
  const withRedis = await measure(shared, move);
  const without = await measure({}, move);
  const split = await measure(shared, splitAll);
  const sdk = await measureSdk();
  report(
    "bench:rollback",
    [
      "| milliseconds until the last answer | times | p50 | p99 | max |",
      "|---|---|---|---|---|",
      row(`${REPLICAS} replicas, one Redis: from the call of SetLabels`, withRedis.called),
      row("… from its acknowledgement", withRedis.acknowledged),
      row(`${REPLICAS} replicas, no Redis: from the call of SetLabels`, without.called),
      row("… from its acknowledgement", without.acknowledged),
      row(`${REPLICAS} replicas, one Redis: from the call of SetRollout`, split.called),
      row("… from its acknowledgement", split.acknowledged),
      row("a client on `langfuse` 3 with its default cache: from the acknowledgement", [sdk]),
    ].join("\n"),
  );
} finally {
  await redis.remove();
  await postgres.remove();
}

async function start(env: Record<string, string>, count: number): Promise<Replica[]> {
  const url = (postgres as NonNullable<typeof postgres>).url;
  const shared = { PROMPTD_DATABASE_URL: url, ...env };
  // One after the other: the first makes the tables.
  const replicas: Replica[] = [];
  for (let i = 0; i < count; i++) replicas.push(await startReplica(shared));
  return replicas;
}

async function prepare(replica: Replica): Promise<void> {
  const { prompts } = replica;
  for (const version of VERSIONS) {
    const template = { case: "text", value: `version ${version} `.repeat(50) } as const;
    await prompts.createVersion({ name: NAME, template });
  }
  await move(replica, 1);
}

async function move({ prompts }: Replica, version: number): Promise<void> {
  await prompts.setLabels({ name: NAME, moves: [{ label: "production", version }] });
}

/** Everybody is sent to version 2, or to control, which is version 1. */
async function splitAll({ rollouts }: Replica, version: number): Promise<void> {
  const weight = version === 2 ? 10_000 : 0;
  const target = { case: "version", value: 2 } as const;
  await rollouts.setRollout({
    name: NAME,
    definition: { arms: [{ name: "canary", target, weight }] },
  });
}

async function measure(env: Record<string, string>, change: typeof move): Promise<Times> {
  const replicas = await start(env, REPLICAS);
  try {
    const [first] = replicas as [Replica];
    await prepare(first);
    const times: Times = { called: [], acknowledged: [] };
    for (let round = 0; round < ROUNDS; round++) {
      const version = VERSIONS[round % 2 === 0 ? 1 : 0];
      await Promise.all(replicas.map((replica) => answersWith(replica, 3 - version)));
      const called = performance.now();
      await change(first, version);
      const acknowledged = performance.now();
      await Promise.all(replicas.map((replica) => answersWith(replica, version)));
      const answered = performance.now();
      times.called.push(answered - called);
      times.acknowledged.push(answered - acknowledged);
    }
    return times;
  } finally {
    await Promise.all(replicas.map(({ stop }) => stop()));
  }
}

async function answersWith(replica: Replica, version: number): Promise<void> {
  const until = performance.now() + GIVEN_UP_MS;
  while (performance.now() < until) {
    if ((await replica.version(NAME)) === version) return;
    await setTimeout(PAUSE_MS);
  }
  throw new Error(`no answer with version ${version} within ${GIVEN_UP_MS} ms`);
}

/** The SDK asks a promptd of its own, so that its minute does not hold up the rest. */
async function measureSdk(): Promise<number> {
  const [replica] = (await start({}, 1)) as [Replica];
  const langfuse = new Langfuse({ publicKey: "pk", secretKey: "sk", baseUrl: replica.baseUrl });
  try {
    await move(replica, 1);
    await langfuse.getPrompt(NAME);
    await move(replica, 2);
    const acknowledged = performance.now();
    while ((await langfuse.getPrompt(NAME)).version !== 2) {
      await setTimeout(20);
    }
    return performance.now() - acknowledged;
  } finally {
    await langfuse.shutdownAsync();
    await replica.stop();
  }
}
