/** Calls as bytes: what h2load sends, and a sample of what it is answered. */

import { create, type DescMethodUnary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import type { Target } from "./h2load.ts";

/** A server of gRPC, and how it is called. */
export interface Callee {
  pid: number;
  address: string;
  headers?: Record<string, string>;
}

const same = (bytes: Buffer) => bytes;

/** One call of a method, whose answer shows how long the answers are. */
export async function targetOf<Method extends DescMethodUnary>(
  callee: Callee,
  method: Method,
  request: MessageInitShape<Method["input"]>,
): Promise<{ target: Target; bytes: Buffer }> {
  const { pid, address, headers = {} } = callee;
  const path = `/${method.parent.typeName}/${method.name}`;
  const body = Buffer.from(toBinary(method.input, create(method.input, request)));
  const bytes = await ask(callee, path, body);
  const target: Target = {
    pid,
    url: `http://${address}${path}`,
    headers: { "content-type": "application/grpc", te: "trailers", ...headers },
    body: framed(body),
    // Its age may have a digit less the next time.
    answerBytes: bytes.length - AGE_BYTES,
  };
  return { target, bytes };
}

const AGE_BYTES = 8;

function ask({ address, headers = {} }: Callee, path: string, body: Buffer): Promise<Buffer> {
  const client = new Client(address, credentials.createInsecure());
  const metadata = Metadata.fromHttp2Headers(headers);
  return new Promise<Buffer>((resolve, reject) => {
    client.makeUnaryRequest<Buffer, Buffer>(path, same, same, body, metadata, (error, bytes) => {
      if (error !== null || bytes === undefined) reject(error);
      else resolve(bytes);
    });
  }).finally(() => client.close());
}

/** As gRPC sends a message: not compressed, its length, itself. */
export function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
