import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { onTestFinished } from "vitest";
import { ChangeService } from "../../gen/promptd/v1/change_service_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { RolloutService } from "../../gen/promptd/v1/rollout_service_pb.ts";
import { confided, hearOut, said } from "./leaks.ts";
import type { Recorded } from "./recorded.ts";

/** `promptd serve` as a process of its own. */
export interface ServiceProcess {
  pid: number;
  grpcAddress: string;
  httpAddress: string;
  prompts: Client<typeof PromptService>;
  changes: Client<typeof ChangeService>;
  rollouts: Client<typeof RolloutService>;
  /** Lines of the log, as they were written. */
  log: Record<string, unknown>[];
  /** Sends a signal, and answers with the exit code (null: killed) once the process is gone. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

interface ServeProcess extends ChildProcess {
  stdout: Readable;
  stderr: Readable;
}

/** Starts `promptd serve` on free ports, and searches what it says for leaks. */
export function spawnServe(
  flags: readonly string[],
  env: Record<string, string>,
  user: { uid?: number; gid?: number } = {},
): ServeProcess {
  const imports = ["tsx", "./test/support/recorded.ts"].flatMap((module) => ["--import", module]);
  const child = spawn(process.execPath, [...imports, "src/main.ts", "serve", ...flags], {
    ...user,
    env: {
      PATH: process.env.PATH,
      PROMPTD_GRPC_LISTEN: "127.0.0.1:0",
      PROMPTD_HTTP_LISTEN: "127.0.0.1:0",
      PROMPTD_LOG_LEVEL: "debug",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  }) as ServeProcess;
  child.on("message", (message: Recorded) => {
    if (message.confided) confided(...message.confided);
    if (message.said) said(...message.said);
  });
  createInterface({ input: child.stderr }).on("line", (line) => said("log", line));
  child.stdout.setEncoding("utf8").on("data", (text: string) => said("standard output", text));
  hearOut(once(child, "close"));
  return child;
}

/** Starts a service on free ports. It is killed with the test, if it still runs then. */
export async function spawnService(
  env: Record<string, string>,
  user?: { uid: number; gid: number },
): Promise<ServiceProcess> {
  const child = spawnServe([], env, user);
  const log: Record<string, unknown>[] = [];
  onTestFinished(() => void child.kill("SIGKILL"));
  const { grpc, http } = await serving(child, log);
  const transport = createGrpcTransport({ baseUrl: `http://${grpc}` });
  return {
    pid: child.pid as number,
    grpcAddress: grpc,
    httpAddress: http,
    prompts: createClient(PromptService, transport),
    changes: createClient(ChangeService, transport),
    rollouts: createClient(RolloutService, transport),
    log,
    async stop(signal = "SIGTERM") {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const exited = once(child, "exit");
      child.kill(signal);
      await exited;
      return child.exitCode;
    },
  };
}

function serving(
  child: ServeProcess,
  log: Record<string, unknown>[],
): Promise<{ grpc: string; http: string }> {
  const lines = createInterface({ input: child.stderr });
  return new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      const entry = line.startsWith("{") ? JSON.parse(line) : { msg: line };
      log.push(entry);
      if (entry.msg === "serving") resolve({ grpc: entry.grpc, http: entry.http });
    });
    child.once("exit", (code) => {
      reject(new Error(`promptd ended with ${code}:\n${log.map(({ msg }) => msg).join("\n")}`));
    });
  });
}
