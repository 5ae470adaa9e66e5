import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { Change_Kind } from "../../gen/promptd/v1/change_service_pb.ts";
import { Rollout_State } from "../../gen/promptd/v1/rollout_pb.ts";
import { bucketOf } from "../../src/core/rollout/bucket.ts";
import { against } from "../cli/promptd.ts";
import { sharedDatabases } from "../support/postgres-databases.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";
import { SKIPPED_WITHOUT_REDIS, startRedis, withoutRedis } from "../support/redis-server.ts";
import { ask, askAll, PROMPT, USERS, Watchers } from "./story.ts";

const OLD = 3;
const NEW = 4;

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "promptd-canary-"));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

const places = sharedDatabases(() => dataDir).flatMap(({ database, skip, url }) => [
  { place: `${database} alone`, skip, url, shared: false },
  {
    place: `${database} and Redis${withoutRedis ? SKIPPED_WITHOUT_REDIS : ""}`,
    skip: skip || withoutRedis,
    url,
    shared: true,
  },
]);

describe.each(places)("a canary on two replicas with $place", ({ skip, url, shared }) => {
  it.skipIf(skip)("moves nobody back until all are", { timeout: 120_000 }, async () => {
    const replicas = await start(await url(), shared);
    const [first, second] = replicas;
    const everyReplica = async (expected: (userId: string) => number) => {
      for (const replica of replicas) {
        const seen = await askAll(replica);
        expect(seen.map(({ version }) => version)).toEqual(USERS.map(expected));
      }
    };
    /** Until each of them answers by this change. */
    const heard = async (revision: bigint) => {
      for (const replica of replicas) {
        await vi.waitFor(async () => {
          expect((await ask(replica, "")).rolloutRevision).toBe(revision);
        }, 10_000);
      }
    };
    const inCanary = (weight: number) => (userId: string) =>
      bucketOf(PROMPT, userId) < weight ? NEW : OLD;
    const canary = async (weight: number, replica: ServiceProcess) => {
      const { rollout } = await replica.rollouts.setRollout({
        name: PROMPT,
        definition: {
          arms: [{ name: "canary", target: { case: "version", value: NEW }, weight }],
        },
        reason: `canary at ${weight / 100} %`,
      });
      await heard(rollout?.revision ?? -1n);
      await everyReplica(inCanary(weight));
      return rollout;
    };
    const isBack = () =>
      vi.waitFor(() => everyReplica(() => OLD), { timeout: 10_000, interval: 20 });

    for (const template of ["one", "two", "three", "four"]) {
      await first.prompts.createVersion({
        name: PROMPT,
        template: { case: "text", value: template },
        labels: template === "three" ? ["production"] : [],
      });
    }
    await isBack();

    // More and more, and nobody back.
    const watchers = new Watchers(replicas);
    onTestFinished(() => watchers.end());
    await canary(500, first);
    await canary(2500, second);
    await canary(10_000, first);
    await watchers.round();
    for (const history of watchers.take()) {
      expect(history.size).toBe(USERS.length);
      for (const [userId, versions] of history) {
        expect([[OLD, NEW], [NEW]], userId).toContainEqual(versions);
      }
    }

    // Then all at once.
    const { rollout: aborted } = await second.rollouts.setRollout({
      name: PROMPT,
      state: Rollout_State.ABORTED,
      reason: "complaints",
    });
    expect(aborted?.state).toBe(Rollout_State.ABORTED);
    expect((await askAll(second)).every(({ version }) => version === OLD)).toBe(true);
    await isBack();
    watchers.take();

    // A label that is moved to where it is ends one just as well.
    await canary(1000, first);
    const { abortedRollouts, previous } = await second.prompts.setLabels({
      name: PROMPT,
      moves: [{ label: "production", version: OLD }],
      reason: "roll back",
    });
    expect(abortedRollouts).toEqual(["production"]);
    expect(previous).toMatchObject([{ label: "production", version: OLD }]);
    await isBack();
    const { rollout: ended } = await first.rollouts.getRollout({ name: PROMPT });
    expect(ended?.state).toBe(Rollout_State.ABORTED);

    // Whoever has seen the new one keeps it when it is promoted.
    await canary(2500, first);
    await watchers.round();
    watchers.take();
    const promoted = await first.rollouts.setRollout({
      name: PROMPT,
      state: Rollout_State.PROMOTED,
      reason: "it went well",
    });
    expect(promoted.rollout).toMatchObject({
      state: Rollout_State.PROMOTED,
      promotedArm: "canary",
    });
    expect(promoted.previous).toMatchObject([{ label: "production", version: OLD }]);
    await vi.waitFor(() => everyReplica(() => NEW), { timeout: 10_000, interval: 20 });
    await watchers.round();
    for (const history of watchers.take()) {
      expect(history.size).toBe(USERS.length);
      for (const [userId, versions] of history) {
        const possible = inCanary(2500)(userId) === NEW ? [[NEW]] : [[OLD, NEW], [NEW]];
        expect(possible, userId).toContainEqual(versions);
      }
    }
    const { changes } = await first.changes.listChanges({ name: PROMPT, pageSize: 1 });
    expect(changes[0]).toMatchObject({
      kind: Change_Kind.LABELS_SET,
      revision: promoted.rollout?.revision,
      labels: [{ label: "production", fromVersion: OLD, toVersion: NEW }],
      rollouts: [{ label: "production", state: Rollout_State.PROMOTED, promotedArm: "canary" }],
    });

    const undone = await against(first.grpcAddress)(["label", "undo", PROMPT]);
    expect(undone).toMatchObject({ code: 0 });
    await isBack();
    await watchers.end();
  });
});

async function start(databaseUrl: string, shared: boolean) {
  const redis = shared ? await startRedis() : undefined;
  if (redis !== undefined) onTestFinished(() => redis.remove());
  const spawn = (name: string) =>
    spawnService({
      PROMPTD_DATABASE_URL: databaseUrl,
      PROMPTD_DATA_DIR: join(dataDir, name),
      PROMPTD_LOG_LEVEL: "info",
      ...(redis && { PROMPTD_REDIS_URL: redis.url }),
    });
  return [await spawn("a"), await spawn("b")] as const;
}
