import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ChangeService } from "../../gen/promptd/v1/change_service_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { RolloutService } from "../../gen/promptd/v1/rollout_service_pb.ts";
import { type Runtime, start } from "../../src/runtime.ts";
import { loadSettings } from "../../src/settings.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { said } from "./leaks.ts";

/** A whole service in this process, on free ports and a folder of its own. */
export interface TestService {
  runtime: Runtime;
  grpcPort: number;
  httpPort: number;
  dataDir: string;
  prompts: Client<typeof PromptService>;
  changes: Client<typeof ChangeService>;
  rollouts: Client<typeof RolloutService>;
  /** Everything that was logged, at level debug. */
  log: string[];
  close(): Promise<void>;
}

export async function startService(env: Record<string, string> = {}): Promise<TestService> {
  const dataDir = await mkdtemp(join(tmpdir(), "promptd-test-"));
  const settings = loadSettings({
    PROMPTD_GRPC_LISTEN: "127.0.0.1:0",
    PROMPTD_HTTP_LISTEN: "127.0.0.1:0",
    PROMPTD_DATA_DIR: dataDir,
    PROMPTD_SHUTDOWN_GRACE: "2s",
    ...env,
  });
  const log: string[] = [];
  const runtime = await start(
    settings,
    createLog("debug", {
      write(line: string) {
        log.push(line);
        said("log", line);
      },
    }),
  );
  const transport = createGrpcTransport({ baseUrl: `http://${runtime.grpcAddress}` });
  return {
    runtime,
    grpcPort: Number(runtime.grpcAddress.split(":").at(-1)),
    httpPort: Number(runtime.httpAddress.split(":").at(-1)),
    dataDir,
    prompts: createClient(PromptService, transport),
    changes: createClient(ChangeService, transport),
    rollouts: createClient(RolloutService, transport),
    log,
    async close() {
      await runtime.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
