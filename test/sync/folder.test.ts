import { spawnSync } from "node:child_process";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Naming } from "../../src/files/naming.ts";
import { COUNT, isReal, promptFiles } from "../support/prompt-files.ts";
import { SyncBench } from "./bench.ts";
import { REMOTES, type TestRemote } from "./remotes.ts";

describe.each(REMOTES)(
  `225 ${isReal ? "real" : "made"} prompts and $name`,
  ({ isPicky = false, start }) => {
    // Three pages of all prompts, and three of those with the label; a LangSmith is asked about each.
    const requests = isPicky ? COUNT * 7 : 6;
    const naming = new Naming("kebab");
    let remote: TestRemote;
    let here: SyncBench;
    let there: SyncBench;

    beforeAll(async () => {
      remote = await start();
    });

    afterAll(() => remote.close());

    beforeEach(async () => {
      here = await SyncBench.open(remote, { naming });
      there = await SyncBench.open(remote, { naming, settings: { label: "production" } });
    });

    afterEach(async () => {
      await Promise.all([here.close(), there.close()]);
    });

    it("go from a folder to another, and differ in no byte", { timeout: 120_000 }, async () => {
      for (const [path, bytes] of await promptFiles(!isPicky)) await here.write(path, bytes);
      await here.sync.init();
      const pushed = await here.sync.push({ labels: ["production"] });
      expect(pushed.summary).toMatchObject({ pushed: COUNT, errors: 0, conflicts: 0 });
      await there.sync.init();
      const pulled = await there.sync.pull();
      expect(pulled.summary).toMatchObject({ pulled: COUNT, errors: 0, conflicts: 0 });
      const folders = ["-r", "--exclude=.promptd", here.folder, there.folder];
      expect(spawnSync("diff", folders, { encoding: "utf8" })).toMatchObject({
        stdout: "",
        status: 0,
      });

      for (const bench of [here, there]) {
        const files = await bench.files();
        for (const command of ["pull", "push"] as const) {
          const before = remote.asked();
          const { summary, ok } = await bench.sync[command]();
          expect({ kept: summary.kept, ok }).toEqual({ kept: COUNT, ok: true });
          expect(remote.asked() - before).toBeLessThanOrEqual(requests);
        }
        expect((await bench.sync.status()).clean).toBe(true);
        expect(await bench.files()).toEqual(files);
      }
    });
  },
);
