/** GetPrompt from memory, beside servers that do nothing but answer. */

import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { targetOf } from "../harness/calls.ts";
import { type Compared, compare } from "../harness/compare.ts";
import { BACKING_CORE } from "../harness/cores.ts";
import { LOAD } from "../harness/h2load.ts";
import { startProgram, startReference } from "../harness/programs.ts";
import { PROMPT, startPromptd } from "../harness/promptd.ts";
import { atLeast, atMost, type Result, range } from "../harness/result.ts";

const ROUNDS = 11;

const GET = PromptService.method.getPrompt;
const REQUEST = { name: PROMPT, userId: "user-17" };

/** What is compared, as it is called in the table. */
export const NAMES = {
  full: "promptd: keys, a rollout, traces of 1 %",
  plain: "promptd: none of these",
  ready: "grpc-js, ready bytes",
  again: "grpc-js, ready bytes, another process",
  encode: "grpc-js, encodes the message",
  http2: "node:http2, ready bytes",
};

export async function run(): Promise<Result> {
  const seen = await measure(ROUNDS);
  const { full, plain, ready, again, encode } = NAMES;
  const spread = `two that are the same: ${range(seen.share(again, ready))}`;
  return {
    rows: seen.rows(),
    goals: [
      atLeast(
        "GetPrompt, memory hit, 2 KB, keys, rollout, traces of 1 %: calls a second as a share of grpc-js with ready bytes",
        0.85,
        seen.share(full, ready),
        spread,
      ),
      atLeast("… of grpc-js that encodes", 1.3, seen.share(full, encode), spread),
      atMost(
        "… without keys, rollout and traces: of the same",
        1.1,
        seen.share(plain, full),
        spread,
      ),
    ],
  };
}

export async function measure(rounds: number, load = LOAD, warmUp?: number): Promise<Compared> {
  const stops: { stop(): Promise<void> }[] = [];
  const begun = <Started extends { stop(): Promise<void> }>(started: Started): Started => {
    stops.push(started);
    return started;
  };
  try {
    const collector = begun(await startProgram(["bench/collector.ts", "well"], BACKING_CORE));
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.address}`,
      PROMPTD_TRACE_SAMPLING: "0.01",
    };
    const full = begun(await startPromptd({ keys: true, rollout: true, env }));
    const plain = begun(await startPromptd());
    const { target, bytes } = await targetOf(full, GET, REQUEST);
    const reference = async (...args: string[]) => {
      const program = begun(await startReference(args, bytes));
      return (await targetOf(program, GET, REQUEST)).target;
    };
    return await compare(
      {
        [NAMES.full]: target,
        [NAMES.ready]: await reference("bench/references/grpc-js.ts", "ready"),
        [NAMES.encode]: await reference("bench/references/grpc-js.ts", "encode"),
        [NAMES.plain]: (await targetOf(plain, GET, REQUEST)).target,
        [NAMES.again]: await reference("bench/references/grpc-js.ts", "ready"),
        [NAMES.http2]: await reference("bench/references/http2.ts"),
      },
      load,
      rounds,
      warmUp,
    );
  } finally {
    for (const { stop } of stops) await stop();
  }
}
