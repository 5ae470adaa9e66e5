import { afterAll, beforeAll, beforeEach, describe, onTestFinished } from "vitest";
import { openRedis, type SharedRedis } from "../../src/cache/redis/redis.ts";
import { Breaker } from "../../src/circuit.ts";
import {
  type RedisServer,
  SKIPPED_WITHOUT_REDIS,
  startRedis,
  withoutRedis,
} from "../support/redis-server.ts";

/** What is shared, as one process has it. */
export interface Process extends SharedRedis {
  circuit: Breaker;
  /** Whether Redis went away or came back, as it was told. */
  states: ("reached" | "gone" | "refuses" | "renewed")[];
}

let epochs = 0;

/** Opens what processes share, until the test is over. */
export async function openProcess(url: string, databaseId = "a database"): Promise<Process> {
  const circuit = new Breaker("Redis", { timeoutMs: 250, retries: 0 });
  const states: Process["states"] = [];
  const redis = openRedis({
    sourceOf: () => "registry",
    url,
    circuit,
    newId: () => `epoch-${++epochs}`,
    onState: (state) => states.push(state),
  });
  onTestFinished(() => redis.close());
  await redis.open(databaseId);
  return { ...redis, circuit, states };
}

/** Runs a suite on a Redis of its own, which is empty before each test. */
export function describeOnRedis(what: string, suite: (server: () => RedisServer) => void): void {
  describe.skipIf(withoutRedis)(`${what}${withoutRedis ? SKIPPED_WITHOUT_REDIS : ""}`, () => {
    let server: RedisServer;
    beforeAll(async () => {
      server = await startRedis();
    });
    beforeEach(() => server.restart());
    afterAll(() => server?.remove());
    suite(() => server);
  });
}
