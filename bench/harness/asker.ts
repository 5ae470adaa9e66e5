/**
 * Asks for one of many prompts per call, which h2load cannot: in a process of its own, that is
 * told how to, and answers with how many calls failed. So that it takes little, it speaks
 * gRPC's framing itself.
 */

import { connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { GetPromptRequestSchema } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { framed } from "./calls.ts";

/** What it is told. */
export interface Asked {
  url: string;
  headers: Record<string, string>;
  calls: number;
  /** Calls that are open at once. */
  streams: number;
  /** There are so many: `many/0`, `many/1`, … */
  prompts: number;
  /** One after the other, each asker those of its own; evenly by chance; or the first ones most. */
  which: "each" | "uniform" | "zipf";
  /** Of the askers. */
  share?: { index: number; of: number };
  answerBytes: number;
}

process.on("message", async (asked: Asked) => {
  process.send?.(await ask(asked));
});

async function ask({
  url,
  headers,
  calls,
  streams,
  prompts,
  which,
  answerBytes,
  share = { index: 0, of: 1 },
}: Asked) {
  const session = connect(url);
  let failures = 0;
  let begun = 0;
  const one = () =>
    new Promise<void>((resolve) => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/promptd.v1.PromptService/GetPrompt",
        "content-type": "application/grpc",
        te: "trailers",
        ...headers,
      });
      let bytes = 0;
      stream.on("data", (data: Buffer) => {
        bytes += data.length;
      });
      stream.once("error", () => {});
      stream.once("close", () => {
        if (bytes < answerBytes) failures++;
        resolve();
      });
      stream.end(request(pick(prompts, which, share, begun)));
    });
  const line = async () => {
    while (begun < calls) {
      begun++;
      await one();
    }
  };
  await Promise.all(Array.from({ length: streams }, line));
  session.close();
  return failures;
}

function pick(
  prompts: number,
  which: Asked["which"],
  { index, of }: { index: number; of: number },
  call: number,
): number {
  if (which === "each") return index + of * (call % Math.floor(prompts / of));
  // Zipf's law with exponent 1: the logarithm of the rank is spread evenly.
  const rank = which === "zipf" ? prompts ** Math.random() - 1 : Math.random() * prompts;
  return Math.min(prompts - 1, Math.floor(rank));
}

function request(prompt: number): Buffer {
  const message = create(GetPromptRequestSchema, { name: `many/${prompt}`, userId: "user-17" });
  return framed(Buffer.from(toBinary(GetPromptRequestSchema, message)));
}
