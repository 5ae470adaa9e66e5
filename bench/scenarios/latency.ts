/** How long calls take at half of the rate at which a server is full. */

import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { targetOf } from "../harness/calls.ts";
import { median, quantile, shareOf } from "../harness/compare.ts";
import { drive, LOAD, type Target } from "../harness/h2load.ts";
import { startReference } from "../harness/programs.ts";
import { PROMPT, startPromptd } from "../harness/promptd.ts";
import { atMost, type Result, range } from "../harness/result.ts";

const ROUNDS = 9;
const SECONDS = 3;

export async function run(): Promise<Result> {
  const method = PromptService.method.getPrompt;
  const request = { name: PROMPT, userId: "user-17" };
  const promptd = await startPromptd({ keys: true, rollout: true });
  const { target, bytes } = await targetOf(promptd, method, request);
  const reference = () => startReference(["bench/references/grpc-js.ts", "ready"], bytes);
  const references = [await reference(), await reference()];
  try {
    const [ready, again] = await Promise.all(
      references.map(async (each) => (await targetOf(each, method, request)).target),
    );
    const servers = [
      { name: "promptd", target, p99s: [] as number[], p50s: [] as number[], rate: 0 },
      { name: "grpc-js, ready bytes", target: ready as Target, p99s: [], p50s: [], rate: 0 },
      { name: "… another process", target: again as Target, p99s: [], p50s: [], rate: 0 },
    ];
    for (const server of servers) {
      await drive(server.target, { ...LOAD, calls: 60_000 });
      const rates = [];
      for (let i = 0; i < 5; i++) rates.push((await drive(server.target, LOAD)).callsPerSecond);
      server.rate = median(rates) / 2;
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const server of servers) {
        const calls = Math.round(server.rate * SECONDS);
        const load = { ...LOAD, calls, callsPerSecond: server.rate };
        const { milliseconds } = await drive(server.target, load);
        server.p50s.push(median(milliseconds));
        server.p99s.push(quantile(milliseconds, 0.99));
      }
    }
    const ratio = (of: number, to: number) =>
      shareOf(
        (servers[of]?.p99s ?? []).map((p99, round) => p99 / (servers[to]?.p99s[round] as number)),
      );
    const spread = `two that are the same: ${range(ratio(2, 1))}`;
    return {
      rows: servers.map(({ name, rate, p50s, p99s }) => ({
        server: name,
        "calls/s": rate.toFixed(0),
        "p50, ms": median(p50s).toFixed(2),
        "p99, ms": median(p99s).toFixed(2),
      })),
      goals: [
        atMost(
          "p99 at half of the saturated rate, as a multiple of grpc-js with ready bytes at half of its own",
          1.3,
          ratio(0, 1),
          spread,
        ),
      ],
    };
  } finally {
    for (const each of [promptd, ...references]) await each.stop();
  }
}
