/** Connect's JSON over HTTP/1.1, beside gRPC. */

import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { targetOf } from "../harness/calls.ts";
import { compare } from "../harness/compare.ts";
import { LOAD, type Target } from "../harness/h2load.ts";
import { PROMPT, startPromptd, TEMPLATE } from "../harness/promptd.ts";
import { type Result, range } from "../harness/result.ts";

const ROUNDS = 9;
const NAMES = { connect: "Connect, JSON, HTTP/1.1", grpc: "gRPC" };

export async function run(): Promise<Result> {
  const promptd = await startPromptd({ keys: true });
  try {
    const { target } = await targetOf(promptd, PromptService.method.getPrompt, { name: PROMPT });
    const connect: Target = {
      pid: promptd.pid,
      url: `${promptd.replica.baseUrl}/promptd.v1.PromptService/GetPrompt`,
      headers: { ...promptd.headers, "content-type": "application/json" },
      body: Buffer.from(JSON.stringify({ name: PROMPT })),
      answerBytes: TEMPLATE.length,
      http1: true,
    };
    // One call at a time on a connection.
    const load = { ...LOAD, connections: LOAD.connections * LOAD.streams, streams: 1 };
    const seen = await compare(
      { [NAMES.grpc]: target, [NAMES.connect]: connect },
      load,
      ROUNDS,
      20_000,
    );
    const share = seen.share(NAMES.connect, NAMES.grpc);
    const what = "Connect JSON over HTTP/1.1: calls a second as a share of gRPC's";
    return {
      rows: seen.rows(),
      goals: [
        {
          what,
          goal: "",
          seen: `${share.median.toFixed(2)} (${range(share)})`,
          spread: "",
          reached: undefined,
        },
      ],
    };
  } finally {
    await promptd.stop();
  }
}
