/** Calls GetPrompt at a rate, in a process of its own: told for how long, it answers with what came of the calls. */

import { setTimeout } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { credentials, Client as GrpcClient, Metadata } from "@grpc/grpc-js";
import { GetPromptRequestSchema } from "../gen/promptd/v1/prompt_service_pb.ts";

/** What one caller saw. */
export interface Called {
  milliseconds: number[];
  failures: number;
  seconds: number;
}

/** What it is told. */
export interface Load {
  seconds: number;
  callsPerSecond: number;
}

const [, , address = "", name = ""] = process.argv;

/** Each call is in a trace of its caller's that is sampled. */
const TRACED = new Metadata();
TRACED.set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

const client = new GrpcClient(address, credentials.createInsecure());
const users = Array.from({ length: 1000 }, (_, user) => {
  const request = create(GetPromptRequestSchema, { name, userId: `user-${user}` });
  return Buffer.from(toBinary(GetPromptRequestSchema, request));
});
const same = (bytes: Buffer) => bytes;

process.on("message", async (load: Load) => {
  process.send?.(await call(load));
});

/** Whether or not the calls before were answered. */
async function call({ seconds, callsPerSecond }: Load): Promise<Called> {
  const milliseconds: number[] = [];
  let failures = 0;
  const most = Math.floor(seconds * callsPerSecond);
  const began = performance.now();
  for (let called = 0; called < most; ) {
    const due = ((performance.now() - began) / 1000) * callsPerSecond;
    for (; called < Math.min(most, due); called++) {
      const asked = performance.now();
      client.makeUnaryRequest<Buffer, Buffer>(
        "/promptd.v1.PromptService/GetPrompt",
        same,
        same,
        users[called % users.length] as Buffer,
        TRACED,
        (error) => {
          if (error === null) milliseconds.push(performance.now() - asked);
          else failures++;
        },
      );
    }
    await setTimeout(1);
  }
  while (milliseconds.length + failures < most) await setTimeout(1);
  return { milliseconds, failures, seconds: (performance.now() - began) / 1000 };
}
