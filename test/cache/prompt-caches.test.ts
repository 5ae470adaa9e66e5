import { join } from "node:path";
import { onTestFinished } from "vitest";
import { LastKnownFile } from "../../src/cache/last-known-good.ts";
import { Memory } from "../../src/cache/memory.ts";
import type { CachedPrompt, SharedPrompt } from "../../src/core/cache-ports.ts";
import { describeOnRedis, openProcess } from "../redis/redis.ts";
import { temporaryDirectory } from "../registry/fixtures.ts";
import { promptCacheContract } from "./prompt-cache.contract.ts";

const NOWHERE = { revision: 0, hash: "" };

const shared = (prompt: CachedPrompt | undefined): SharedPrompt | undefined =>
  prompt && { version: prompt.version, readAt: prompt.readAt };

promptCacheContract("memory", async () => {
  const memory = new Memory(64 * 1024 * 1024);
  const rest = { asOf: 0, refreshAt: 0, stale: false, tier: "memory" } as const;
  return {
    get: async (key) => shared(memory.get(key)),
    put: async (key, prompt) => void memory.put(key, { ...prompt, ...rest }),
    remove: async (key) => memory.remove(key),
  };
});

promptCacheContract("the last known good", async () => {
  const path = join(temporaryDirectory(), "last-known-good.db");
  const open = () =>
    new LastKnownFile(path, (_, cause) => {
      throw cause;
    });
  let file = open();
  onTestFinished(() => file.close());
  return {
    // Read from the file, not from what waits to be written.
    get: async (key) => {
      file.close();
      file = open();
      return shared(file.get(key));
    },
    put: async (key, prompt) => file.put(key, { ...prompt, asOf: 0 }),
    remove: async (key) => file.remove(key),
  };
});

describeOnRedis("with a server", (server) => {
  promptCacheContract("Redis", async () => {
    const { prompts } = await openProcess(server().url);
    return {
      get: async (key) => {
        const look = await prompts.look(key, NOWHERE, 0, undefined);
        return look === "apart" ? undefined : (look as SharedPrompt);
      },
      put: (key, prompt) => prompts.put(key, prompt, NOWHERE),
      remove: (key) => prompts.remove(key),
    };
  });
});
