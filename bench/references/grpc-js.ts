/**
 * A bare grpc-js service with the one answer that it is started with: `ready` as the bytes that
 * they are, `encode` as a message that Protobuf-ES encodes per call. Prints its address.
 */

import { readFileSync } from "node:fs";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Server, ServerCredentials, type sendUnaryData } from "@grpc/grpc-js";
import { GetPromptResponseSchema } from "../../gen/promptd/v1/prompt_service_pb.ts";

const [, , how, file = ""] = process.argv;
const bytes = readFileSync(file);
const message = fromBinary(GetPromptResponseSchema, bytes);
const serialize =
  how === "ready"
    ? () => bytes
    : () => {
        const { buffer, byteOffset, byteLength } = toBinary(GetPromptResponseSchema, message);
        return Buffer.from(buffer, byteOffset, byteLength);
      };

const server = new Server();
server.addService(
  {
    getPrompt: {
      path: "/promptd.v1.PromptService/GetPrompt",
      requestStream: false,
      responseStream: false,
      requestSerialize: (request: Buffer) => request,
      requestDeserialize: (request: Buffer) => request,
      responseSerialize: serialize,
      responseDeserialize: (response: Buffer) => response,
    },
  },
  { getPrompt: (_: unknown, answer: sendUnaryData<unknown>) => answer(null, message) },
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`127.0.0.1:${port}`);
});
