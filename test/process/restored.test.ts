import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import { promptd } from "../cli/promptd.ts";
import { spawnService } from "../support/process.ts";
import { SKIPPED_WITHOUT_REDIS, startRedis, withoutRedis } from "../support/redis-server.ts";

const PROMPTS = ["a", "b", "c"];

it.skipIf(withoutRedis)(
  `an older database that is restored is followed by every process${withoutRedis ? SKIPPED_WITHOUT_REDIS : ""}`,
  { timeout: 90_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "promptd-restored-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const server = await startRedis();
    onTestFinished(() => server.remove());
    const database = { PROMPTD_DATABASE_URL: `sqlite:${join(folder, "promptd.db")}` };
    const env = { ...database, PROMPTD_REDIS_URL: server.url };
    const copy = join(folder, "copy.db");
    const start = (name: string) => spawnService({ ...env, PROMPTD_DATA_DIR: join(folder, name) });
    const [first, second] = [await start("first"), await start("second")];
    const create = async (name: string, value: string) => {
      const template = { case: "text" as const, value };
      await first.prompts.createVersion({ name, template, labels: ["production"] });
    };
    const told = async () => {
      const calls = [first, second].flatMap(({ prompts }) =>
        [...PROMPTS, "later"].map((name) =>
          prompts.getPrompt({ name }).then(
            ({ prompt, resolution }) => [prompt?.template.value, resolution?.stale],
            () => undefined,
          ),
        ),
      );
      return Promise.all(calls);
    };
    const answers = (text: string, more: unknown) => {
      const ofOne = [...PROMPTS.map(() => [text, false]), more];
      return [...ofOne, ...ofOne];
    };
    for (const name of PROMPTS) await create(name, "a text that was kept");
    expect(await told()).toEqual(answers("a text that was kept", undefined));
    expect((await promptd(["backup", copy], { env: database })).code).toBe(0);

    for (const name of [...PROMPTS, "later"]) await create(name, "a text that was replaced");
    const replaced = ["a text that was replaced", false];
    await vi.waitFor(
      async () => expect(await told()).toEqual(answers("a text that was replaced", replaced)),
      15_000,
    );

    expect((await promptd(["restore", copy], { env: database })).code).toBe(0);
    await vi.waitFor(
      async () => expect(await told()).toEqual(answers("a text that was kept", undefined)),
      15_000,
    );
    // One that starts now finds nothing else there either.
    const third = await start("third");
    for (const name of PROMPTS) {
      const { prompt } = await third.prompts.getPrompt({ name });
      expect(prompt?.template.value).toBe("a text that was kept");
    }
    const redis = new Redis(server.url);
    onTestFinished(() => redis.disconnect());
    const epoch = await redis.get("promptd:epoch");
    const texts: string[] = [];
    for (const key of await redis.keys("promptd:*:*")) {
      const current = key.startsWith(`promptd:${epoch}:`);
      // What is out of reach goes by itself.
      if (!current) expect(await redis.pttl(key), key).toBeGreaterThan(0);
      else if (key.includes(":content:")) texts.push((await redis.get(key)) ?? "");
    }
    expect(texts.length).toBeGreaterThan(0);
    expect(texts.join()).not.toContain("replaced");
    const changes = await redis.xrange(`promptd:${epoch}:changes`, "-", "+");
    expect(changes.map(([id]) => id)).toEqual(["1-0", "2-0", "3-0"]);
  },
);
