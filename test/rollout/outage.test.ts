import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { Resolution_Reason, Resolution_Tier } from "../../gen/promptd/v1/prompt_pb.ts";
import { Rollout_State } from "../../gen/promptd/v1/rollout_pb.ts";
import { livesIn } from "../langfuse/behind.ts";
import { firstKey } from "../support/first-key.ts";
import { postgresUrl, SKIPPED_WITHOUT_POSTGRES } from "../support/postgres-databases.ts";
import { startPostgres } from "../support/postgres-server.ts";
import { spawnService } from "../support/process.ts";
import { SKIPPED_WITHOUT_REDIS, startRedis, withoutRedis } from "../support/redis-server.ts";
import { askAll, PROMPT } from "./story.ts";

const missing = [
  withoutRedis ? SKIPPED_WITHOUT_REDIS : "",
  postgresUrl === undefined ? SKIPPED_WITHOUT_POSTGRES : "",
].join("");

it.skipIf(missing !== "")(
  `a canary of a prompt in Langfuse keeps its users with everything gone, after a restart too${missing}`,
  { timeout: 120_000 },
  async () => {
    const { langfuse, redis, postgres, env } = await begin();
    const before = await spawnService(env);
    await before.rollouts.setRollout({
      name: PROMPT,
      definition: {
        arms: [
          { name: "canary", target: { case: "version", value: 2 }, weight: 3000 },
          { name: "staging", target: { case: "label", value: "staging" }, weight: 2000 },
        ],
        overrides: [{ userId: "user-1", arm: "staging" }],
      },
    });
    const seen = await askAll(before);
    expect(new Set(seen.map(({ arm }) => arm))).toEqual(new Set(["control", "canary", "staging"]));
    expect(new Set(seen.map(({ version }) => version))).toEqual(new Set([1, 2, 3]));

    await Promise.all([langfuse.stop("SIGKILL"), redis.crash(), postgres.crash()]);
    await vi.waitFor(async () => expect(await askAll(before)).toEqual(seen), 10_000);
    expect(await before.stop()).toBe(0);

    const after = await spawnService(env);
    expect(await askAll(after)).toEqual(seen);
    const { resolution } = await after.prompts.getPrompt({ name: PROMPT, userId: "user-1" });
    expect(resolution).toMatchObject({
      ...{ arm: "staging", version: 3, reason: Resolution_Reason.OVERRIDE },
      ...{ tier: Resolution_Tier.FALLBACK, stale: true, unresolvedArm: "" },
    });
    expect(resolution?.traceAttributes["langfuse.observation.prompt.version"]).toBe("3");

    // It can be aborted as soon as its own database is back, Langfuse or not.
    await Promise.all([redis.restart(), postgres.restart()]);
    await vi.waitFor(
      () => after.rollouts.setRollout({ name: PROMPT, state: Rollout_State.ABORTED }),
      { timeout: 20_000, interval: 200 },
    );
    await vi.waitFor(async () => {
      const back = await askAll(after);
      expect(new Set(back.map(({ version }) => version))).toEqual(new Set([1]));
    }, 10_000);
  },
);

/** A promptd stands in for Langfuse; its contract is held elsewhere. */
async function begin() {
  const folder = await mkdtemp(join(tmpdir(), "promptd-outage-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const langfuse = await spawnService({ PROMPTD_DATA_DIR: join(folder, "langfuse") });
  const { id: publicKey, secret: secretKey } = await firstKey(langfuse);
  const admin = { publicKey, secretKey };
  const redis = await startRedis();
  onTestFinished(() => redis.remove());
  const postgres = await startPostgres();
  if (postgres === undefined) throw new Error("there is no PostgreSQL");
  onTestFinished(() => postgres.remove());
  for (const [text, label] of [
    ["one", "production"],
    ["two", "canary"],
    ["three", "staging"],
  ]) {
    const body = { name: PROMPT, type: "text", prompt: text, labels: [label] };
    const response = await fetch(`http://${langfuse.httpAddress}/api/public/v2/prompts`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Basic ${btoa(`${admin.publicKey}:${admin.secretKey}`)}`,
      },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(201);
  }
  const env = {
    PROMPTD_DATA_DIR: join(folder, "data"),
    PROMPTD_DATABASE_URL: postgres.url,
    PROMPTD_REDIS_URL: redis.url,
    ...livesIn({ baseUrl: `http://${langfuse.httpAddress}`, admin }),
  };
  return { langfuse, redis, postgres, env };
}
