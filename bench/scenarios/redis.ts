/** Prompts that memory has no room for, from Redis, beside a service that does nothing but one GET. */

import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { startRedis } from "../../test/support/redis-server.ts";
import type { Asked } from "../harness/asker.ts";
import { Askers } from "../harness/asking.ts";
import { targetOf } from "../harness/calls.ts";
import { median, shareOf } from "../harness/compare.ts";
import { filledWith, manyPrompts } from "../harness/many.ts";
import { startReference } from "../harness/programs.ts";
import { PROMPT, startPromptd, TEMPLATE } from "../harness/promptd.ts";
import { atLeast, type Result, range } from "../harness/result.ts";

const ROUNDS = 9;

/** Asked for in turn, each has left memory, which has room for about 90, before it is asked for again. */
const PROMPTS = 400;
const MEMORY = "1MiB";

export async function run(): Promise<Result> {
  const redis = await startRedis();
  const askers = new Askers();
  const filled = await filledWith(manyPrompts(PROMPTS));
  const promptd = await startPromptd({
    env: {
      PROMPTD_REDIS_URL: redis.url,
      PROMPTD_MEMORY: MEMORY,
      PROMPTD_REDIS_FRESH: "24h",
      PROMPTD_DATA_DIR: filled.folder,
    },
    keys: true,
  });
  const { bytes } = await targetOf(promptd, PromptService.method.getPrompt, { name: PROMPT });
  const bare = () => startReference(["bench/references/redis.ts", `${redis.url}/1`], bytes);
  const references = [await bare(), await bare()];
  try {
    const asked = ({ address, headers = {} }: { address: string; headers?: Asked["headers"] }) => ({
      url: `http://${address}`,
      headers,
      calls: 10_000,
      streams: 32,
      prompts: PROMPTS,
      which: "each" as const,
      answerBytes: TEMPLATE.length,
    });
    const servers = [promptd, ...references].map((server) => ({ server, micros: [] as number[] }));
    for (const { server } of servers)
      await askers.ask(server.pid, { ...asked(server), calls: 40_000 });
    const hits = () => promptd.replica.metric("promptd_answers_total", 'tier="redis"');
    const before = await hits();
    for (let round = 0; round < ROUNDS; round++) {
      for (const { server, micros } of servers)
        micros.push(await askers.ask(server.pid, asked(server)));
    }
    const fromRedis = ((await hits()) - before) / (ROUNDS * asked(promptd).calls);
    const share = (of: number, to: number) =>
      shareOf(
        (servers[to]?.micros ?? []).map(
          (micros, round) => micros / (servers[of]?.micros[round] as number),
        ),
      );
    const names = ["promptd, from Redis", "grpc-js, one GET", "… another process"];
    return {
      rows: servers.map(({ micros }, index) => ({
        server: names[index] as string,
        "CPU a call, µs": median(micros).toFixed(0),
        "answers from Redis": index === 0 ? `${(100 * fromRedis).toFixed(0)} %` : "100 %",
      })),
      goals: [
        atLeast(
          "Redis hit: calls a second as a share of a service that does one GET",
          0.8,
          share(0, 1),
          `two that are the same: ${range(share(2, 1))}`,
        ),
      ],
    };
  } finally {
    askers.stop();
    for (const each of [promptd, ...references]) await each.stop();
    await redis.remove();
    filled.remove();
  }
}
