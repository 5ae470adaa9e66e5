/** How often the source is asked when thousands of calls want one cold prompt of several replicas at once. */

import { startPostgres } from "../test/support/postgres-server.ts";
import { startRedis } from "../test/support/redis-server.ts";
import { type Replica, startReplica } from "./replicas.ts";
import { report } from "./report.ts";

const REPLICAS = 4;
const CALLS = 2000;
const ROUNDS = 20;

const postgres = await startPostgres();
if (postgres === undefined) throw new Error("no PostgreSQL is installed");
const redis = await startRedis();

try {
  const rows = [
    await measure("one Redis", { PROMPTD_REDIS_URL: redis.url }),
    await measure("no Redis", {}),
  ];
  report(
    "bench:stampede",
    [
      `| ${CALLS} calls for one cold prompt over ${REPLICAS} replicas | rounds | reads of the source a round: least | most | slowest call, ms |`,
      "|---|---|---|---|---|",
      ...rows,
    ].join("\n"),
  );
} finally {
  await redis.remove();
  await postgres.remove();
}

async function measure(what: string, env: Record<string, string>): Promise<string> {
  const replicas: Replica[] = [];
  for (let i = 0; i < REPLICAS; i++) {
    replicas.push(await startReplica({ PROMPTD_DATABASE_URL: postgres?.url ?? "", ...env }));
  }
  const reads: number[] = [];
  let slowest = 0;
  try {
    const [{ prompts }] = replicas as [Replica];
    for (let round = 0; round < ROUNDS; round++) {
      const name = `${what} ${round}`;
      const template = { case: "text", value: "cold" } as const;
      await prompts.createVersion({ name, template, labels: ["production"] });
      const before = await sourceReads(replicas);
      const calls = Array.from({ length: CALLS }, async (_, call) => {
        const replica = replicas[call % REPLICAS] as Replica;
        const began = performance.now();
        await replica.prompts.getPrompt({ name });
        slowest = Math.max(slowest, performance.now() - began);
      });
      await Promise.all(calls);
      reads.push((await sourceReads(replicas)) - before);
    }
  } finally {
    await Promise.all(replicas.map(({ stop }) => stop()));
  }
  return `| ${what} | ${ROUNDS} | ${Math.min(...reads)} | ${Math.max(...reads)} | ${slowest.toFixed(0)} |`;
}

async function sourceReads(replicas: readonly Replica[]): Promise<number> {
  const counts = replicas.map(({ metric }) => metric("promptd_source_read_seconds_count"));
  return (await Promise.all(counts)).reduce((total, count) => total + count, 0);
}
