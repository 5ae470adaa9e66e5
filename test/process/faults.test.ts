import { expect, it, onTestFinished } from "vitest";
import { FAULTS, suffer } from "../faults/faults.ts";
import { canRunAsNobody, type Start, World } from "../faults/world.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";
import { SKIPPED_WITHOUT_REDIS, withoutRedis } from "../support/redis-server.ts";

it.skipIf(withoutRedis)(
  `answers go on whatever is gone, and are fresh once it is back${withoutRedis ? SKIPPED_WITHOUT_REDIS : ""}`,
  { timeout: 240_000 },
  async ({ skip }) => {
    if (!canRunAsNobody("src/main.ts")) return skip("nobody but root can read the program here");
    const log: ServiceProcess["log"][] = [];
    const start: Start = async (...how) => {
      const service = await spawnService(...how);
      log.push(service.log);
      return service;
    };
    const world = await World.begin(start, { PROMPTD_LOG_LEVEL: "info" });
    if (world === undefined) return skip("no PostgreSQL is installed beside the one named");
    onTestFinished(() => world.end());
    for (const fault of FAULTS) {
      const { failures, stale } = await suffer(world, fault, 3000);
      expect.soft(failures, fault.name).toEqual([]);
      if (fault.withoutSource) expect.soft(stale, fault.name).toBeGreaterThan(0);
    }
    await world.load.stop();
    const messages = log.flat().map(({ msg }) => msg);
    expect(messages).toContain(
      "what was last known good cannot be kept on disk or read from there",
    );
  },
);
