/** Replicas of promptd as processes of their own, as they are built for production. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { credentials, Client as GrpcClient, Metadata } from "@grpc/grpc-js";
import { KeyService } from "../gen/promptd/v1/key_service_pb.ts";
import {
  GetPromptRequestSchema,
  GetPromptResponseSchema,
  PromptService,
} from "../gen/promptd/v1/prompt_service_pb.ts";
import { RolloutService } from "../gen/promptd/v1/rollout_service_pb.ts";

/** Rollouts of the whole of a label aside, nothing depends on who it is. */
const USER = "user-1";

export interface Replica {
  pid: number;
  grpcAddress: string;
  prompts: Client<typeof PromptService>;
  baseUrl: string;
  rollouts: Client<typeof RolloutService>;
  keys: Client<typeof KeyService>;
  /** The version that a user is given by label `production` of a prompt; asked with as little work as can be. */
  version(name: string, headers?: Record<string, string>): Promise<number | undefined>;
  /** The sum of a metric's values whose labels hold a text. */
  metric(name: string, label?: string): Promise<number>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a replica on free ports, with a data directory of its own unless one is named. */
export async function startReplica(
  env: Record<string, string>,
  { cores, ...user }: { uid?: number; gid?: number; cores?: string } = {},
): Promise<Replica> {
  const dataDir = mkdtempSync(join(tmpdir(), "promptd-bench-"));
  const serve = [process.execPath, "dist/src/main.js", "serve"];
  const [command = "", ...args] = cores === undefined ? serve : ["taskset", "-c", cores, ...serve];
  const child = spawn(command, args, {
    ...user,
    env: {
      PATH: process.env.PATH,
      PROMPTD_GRPC_LISTEN: "127.0.0.1:0",
      PROMPTD_HTTP_LISTEN: "127.0.0.1:0",
      PROMPTD_DATA_DIR: dataDir,
      ...env,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill(signal);
      await exited;
    }
    rmSync(dataDir, { recursive: true, force: true });
  };
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line);
    const { msg, grpc, http } = JSON.parse(line);
    if (msg !== "serving") continue;
    child.stderr.resume();
    const transport = createGrpcTransport({ baseUrl: `http://${grpc}` });
    const baseUrl = `http://${http}`;
    const plain = new GrpcClient(grpc, credentials.createInsecure());
    return {
      pid: child.pid as number,
      grpcAddress: grpc,
      prompts: createClient(PromptService, transport),
      rollouts: createClient(RolloutService, transport),
      keys: createClient(KeyService, transport),
      baseUrl,
      version: (name, headers = {}) => versionOf(plain, name, headers),
      metric: async (name, label = "") => sum(await exposition(baseUrl), name, label),
      stop,
    };
  }
  await stop();
  throw new Error(`promptd did not start:\n${said.join("\n")}`);
}

function versionOf(
  client: GrpcClient,
  name: string,
  headers: Record<string, string>,
): Promise<number | undefined> {
  const request = Buffer.from(
    toBinary(GetPromptRequestSchema, create(GetPromptRequestSchema, { name, userId: USER })),
  );
  const same = (bytes: Buffer) => bytes;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest<Buffer, Buffer>(
      "/promptd.v1.PromptService/GetPrompt",
      same,
      same,
      request,
      Metadata.fromHttp2Headers(headers),
      (error, bytes) => {
        if (error !== null || bytes === undefined) return reject(error);
        resolve(fromBinary(GetPromptResponseSchema, bytes).resolution?.version);
      },
    );
  });
}

async function exposition(baseUrl: string): Promise<string> {
  return (await fetch(`${baseUrl}/metrics`)).text();
}

function sum(text: string, name: string, label: string): number {
  return text
    .split("\n")
    .filter((line) => /^[\w:]+/.exec(line)?.[0] === name && line.includes(label))
    .reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);
}
