/** One, two and three workers on as many cores. */

import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { targetOf } from "../harness/calls.ts";
import { median, shareOf } from "../harness/compare.ts";
import { CORES, coresOf } from "../harness/cores.ts";
import { drive, type Target } from "../harness/h2load.ts";
import { PROMPT, startPromptd } from "../harness/promptd.ts";
import { atLeast, type Result, range } from "../harness/result.ts";

const ROUNDS = 9;
const MOST_WORKERS = 3;

/** Connections are dealt out in turn, so that each worker has as many. */
const LOAD = { connections: 24, streams: 4 };
const CALLS = 20_000;

/** Of those that one would answer each. */
const LEAST = 0.85;

export async function run(): Promise<Result> {
  const request = { name: PROMPT, userId: "user-17" };
  const counts = Array.from({ length: MOST_WORKERS }, (_, index) => index + 1);
  const servers: { count: number; target: Target; rates: number[]; stop: () => Promise<void> }[] =
    [];
  try {
    for (const count of [...counts, 1]) {
      const env = { PROMPTD_WORKERS: String(count) };
      const promptd = await startPromptd({ env, keys: true, cores: coresOf(count) });
      const { target } = await targetOf(promptd, PromptService.method.getPrompt, request);
      servers.push({ count, target, rates: [], stop: promptd.stop });
    }
    for (const { count, target } of servers) await drive(target, { ...LOAD, calls: count * CALLS });
    for (let round = 0; round < ROUNDS; round++) {
      for (const { count, target, rates } of servers) {
        rates.push((await drive(target, { ...LOAD, calls: count * CALLS })).callsPerSecond);
      }
    }
    const [one, ...more] = servers;
    const again = more.pop();
    const share = ({ count = 1, rates = [] as number[] } = {}) =>
      shareOf(rates.map((rate, round) => rate / count / (one?.rates[round] as number)));
    const spread = `one worker twice: ${range(share(again))}`;
    return {
      rows: servers.map(({ count, rates }) => ({
        workers: count,
        "calls/s": median(rates).toFixed(0),
      })),
      goals: more.map((server) => {
        const what = `${server.count} workers: calls a second of each as a share of one worker's`;
        const goal = atLeast(what, LEAST, share(server), spread);
        // Its callers need a core, and what drives them another one.
        return server.count <= CORES - 2 ? goal : { ...goal, goal: "", reached: undefined };
      }),
    };
  } finally {
    for (const { stop } of servers) await stop();
  }
}
