/** A bare grpc-js service that answers each call with what one GET of Redis finds. Prints its address. */

import { readFileSync } from "node:fs";
import { Server, ServerCredentials, type sendUnaryData } from "@grpc/grpc-js";
import { Redis } from "ioredis";

const [, , url = "", file = ""] = process.argv;
const KEY = "answer";

const redis = new Redis(url);
await redis.set(KEY, readFileSync(file));
const same = (bytes: Buffer) => bytes;

const server = new Server();
server.addService(
  {
    getPrompt: {
      path: "/promptd.v1.PromptService/GetPrompt",
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  },
  {
    getPrompt: (_: unknown, answer: sendUnaryData<Buffer | null>) => {
      redis.getBuffer(KEY).then(
        (bytes) => answer(null, bytes),
        (error) => answer(error),
      );
    },
  },
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`127.0.0.1:${port}`);
});
