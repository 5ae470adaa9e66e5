/**
 * What callers see while what is behind a promptd fails, one thing after the
 * other, and how soon after it is back all answers are right and not stale.
 */

import { cutOff } from "../test/faults/cut-off.ts";
import { FAULTS, type Outcome, suffer } from "../test/faults/faults.ts";
import { canRunAsNobody, World } from "../test/faults/world.ts";
import { startPostgres } from "../test/support/postgres-server.ts";
import { startRedis } from "../test/support/redis-server.ts";
import { startReplica } from "./replicas.ts";
import { report } from "./report.ts";

const OUTAGE_MS = 6000;
const CUT_OFF_MS = 30_000;

if (!canRunAsNobody("dist/src/main.js")) throw new Error("nobody but root can read dist");

report(
  "bench:faults",
  [
    "| what fails | calls | failures | stale answers | slowest call, ms | ms until all are fresh |",
    "|---|---|---|---|---|---|",
    ...(await measureFaults()),
    await measureCutOff(),
  ].join("\n"),
);

async function measureFaults(): Promise<string[]> {
  const world = await World.begin(startReplica, {});
  if (world === undefined) throw new Error("no PostgreSQL is installed");
  const rows: string[] = [];
  try {
    for (const fault of FAULTS) rows.push(row(fault.name, await suffer(world, fault, OUTAGE_MS)));
  } finally {
    await world.end();
  }
  return rows;
}

async function measureCutOff(): Promise<string> {
  const postgres = await startPostgres();
  if (postgres === undefined) throw new Error("no PostgreSQL is installed");
  const redis = await startRedis();
  const where = { redisUrl: redis.url, databaseUrl: postgres.url };
  try {
    const outcome = await cutOff(startReplica, { ...where, outageMs: CUT_OFF_MS });
    return row(`a replica cut off for ${CUT_OFF_MS / 1000} s, while 100 labels move`, outcome);
  } finally {
    await redis.remove();
    await postgres.remove();
  }
}

function row(what: string, outcome: Outcome): string {
  const { calls, failures, stale, slowestMs, freshAfterMs } = outcome;
  for (const failure of failures) console.error(`${what}: ${failure}`);
  const milliseconds = [slowestMs, freshAfterMs].map((ms) => ms.toFixed(0));
  return `| ${[what, calls, failures.length, stale, ...milliseconds].join(" | ")} |`;
}
