import { expect, it, onTestFinished } from "vitest";
import { cutOff } from "../faults/cut-off.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { spawnService } from "../support/process.ts";
import { SKIPPED_WITHOUT_REDIS, startRedis, withoutRedis } from "../support/redis-server.ts";

const missing = [
  withoutRedis ? SKIPPED_WITHOUT_REDIS : "",
  postgresUrl === undefined ? SKIPPED_WITHOUT_POSTGRES : "",
].join("");

it.skipIf(missing !== "")(
  `a replica that was cut off holds the labels that were moved meanwhile${missing}`,
  { timeout: 90_000 },
  async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.remove());
    const databaseUrl = await createDatabase();
    const outcome = await cutOff(spawnService, {
      redisUrl: redis.url,
      databaseUrl,
      outageMs: 6000,
    });
    expect(outcome.failures).toEqual([]);
    expect(outcome.stale).toBeGreaterThan(0);
  },
);
