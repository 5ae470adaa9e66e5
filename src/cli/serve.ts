import { type Runtime, start } from "../runtime.ts";
import { EXIT } from "./exit.ts";
import { type SettingOptions, settingsOf } from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";

/** One of the prompts that come with promptd. */
const EXAMPLE = "support/reply";

/** `promptd serve`: until the first SIGTERM or SIGINT, and the calls that were in flight then. */
export async function serve(terminal: Terminal, options: SettingOptions): Promise<void> {
  const runtime = await start(settingsOf(terminal, options));
  terminal.out(firstSteps(runtime));
  await stopSignal();
  await runtime.close();
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let stopping = false;
    const onSignal = () => {
      if (stopping) process.exit(EXIT.interrupted);
      stopping = true;
      resolve();
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}

/** Calls that can be pasted into another shell. */
function firstSteps({ grpcAddress, httpAddress }: Runtime): string {
  const grpc = reachable(grpcAddress);
  const http = reachable(httpAddress);
  const request = `'{"name":"${EXAMPLE}"}'`;
  return `promptd serves gRPC on ${grpcAddress}, and Connect, gRPC-Web and JSON on ${httpAddress}.

Ask it for a prompt (npx promptd import prompts --address ${grpc} brings the samples):

  npx promptd get ${EXAMPLE} --address ${grpc}
  curl -H 'content-type: application/json' -d ${request} http://${http}/promptd.v1.PromptService/GetPrompt
  grpcurl -plaintext -d ${request} ${grpc} promptd.v1.PromptService/GetPrompt

`;
}

/** Where a service can be called that listens on all addresses. */
function reachable(address: string): string {
  return address.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, "127.0.0.1");
}
