import { join } from "node:path";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, it, onTestFinished } from "vitest";
import { temporaryDirectory } from "../registry/fixtures.ts";
import { startService, type TestService } from "../support/service.ts";
import { describeOnRedis } from "./redis.ts";

/** Looks into Redis by a service, by what came of them. */
async function looks({ httpPort }: TestService): Promise<Record<string, number>> {
  const metrics = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
  const counts = metrics.matchAll(/^promptd_redis_read_seconds_count\{outcome="(.*)"\} (.*)$/gm);
  return Object.fromEntries([...counts].map(([, outcome, count]) => [outcome, Number(count)]));
}

describeOnRedis("a service", (server) => {
  it("counts what Redis has, what it lacks, and when it is away", async () => {
    const env = {
      PROMPTD_DATABASE_URL: `sqlite:${join(temporaryDirectory(), "promptd.db")}`,
      PROMPTD_REDIS_URL: server().url,
    };
    const [one, two] = [await startService(env), await startService(env)];
    for (const service of [one, two]) onTestFinished(() => service.close());
    for (const name of ["shared", "other"]) {
      const template = { case: "text", value: "x" } as const;
      await one.prompts.createVersion({ name, template, labels: ["production"] });
    }
    // What another one has not heard of yet, it does not read in Redis.
    const moves = [{ label: "qa", version: 1 }];
    const wait = { waitForReplicas: durationFromMs(10_000) };
    await expect
      .poll(() => one.prompts.setLabels({ name: "other", moves, ...wait }), { timeout: 10_000 })
      .toMatchObject({ replicas: { applied: 2, live: 2 } });
    for (const service of [one, two]) await service.prompts.getPrompt({ name: "shared" });
    expect(await looks(one)).toEqual({ missing: 1 });
    expect(await looks(two)).toEqual({ found: 1 });
    await server().crash();
    expect((await two.prompts.getPrompt({ name: "other" })).prompt?.template.value).toBe("x");
    expect(await looks(two)).toEqual({ found: 1, apart: 1 });
    const ready = await fetch(`http://127.0.0.1:${two.httpPort}/readyz`);
    expect(await ready.json()).toEqual({
      status: "ready",
      dependencies: { database: "ok", redis: "Redis cannot be reached" },
    });
  });
});
