import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { sharedDatabases } from "../support/postgres-databases.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "promptd-replicas-"));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

describe.each(sharedDatabases(() => dataDir))("three processes on $database", ({ skip, url }) => {
  it.skipIf(skip)(
    "SetLabels tells how many of them have applied it",
    { timeout: 90_000 },
    async () => {
      const databaseUrl = await url();
      const folders = ["a", "b", "c"].map((name) => join(dataDir, name));
      const [first, paused, killed] = (await Promise.all(
        folders.map((folder) =>
          spawnService({ PROMPTD_DATABASE_URL: databaseUrl, PROMPTD_DATA_DIR: folder }),
        ),
      )) as [ServiceProcess, ServiceProcess, ServiceProcess];
      const create = { name: "p", template: { case: "text" as const, value: "text" } };
      await first.prompts.createVersion(create);
      await first.prompts.createVersion({ ...create, template: { case: "text", value: "two" } });
      let version = 1;
      const move = async (waitMs: number, { prompts }: ServiceProcess = first) => {
        version = 3 - version;
        const { replicas } = await prompts.setLabels({
          name: "p",
          moves: [{ label: "production", version }],
          waitForReplicas: durationFromMs(waitMs),
        });
        return replicas && [replicas.applied, replicas.live];
      };
      // Each is known from its first report, which is made behind the start.
      await vi.waitFor(async () => expect((await move(5000))?.[1]).toBe(3), 20_000);

      for (const each of [first, paused, killed]) {
        expect(await move(10_000, each)).toEqual([3, 3]);
        for (const { prompts } of [first, paused, killed]) {
          expect((await prompts.getPrompt({ name: "p" })).prompt?.version).toBe(version);
        }
      }

      process.kill(paused.pid, "SIGSTOP");
      expect(await move(300)).toEqual([2, 3]);
      process.kill(paused.pid, "SIGCONT");
      expect(await move(10_000)).toEqual([3, 3]);

      await killed.stop("SIGKILL");
      expect(await move(300)).toEqual([2, 3]);
      // Until it has not been heard of for too long.
      expect(await move(30_000)).toEqual([2, 2]);

      await paused.stop();
      expect(await move(0)).toEqual([1, 1]);
    },
  );
});
