import cluster from "node:cluster";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Runtime } from "../runtime.ts";
import type { Settings } from "../settings.ts";
import { createLog } from "../telemetry/log.ts";
import type { Fellows } from "../workers/worker.ts";
import { EXIT } from "./exit.ts";
import { type SettingOptions, settingsOf } from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";
import { withSmallYoungHeap } from "./young-heap.ts";

/** One of the prompts that come with promptd. */
const EXAMPLE = "support/reply";

/** For what was written last to leave, in milliseconds. */
const EXIT_MS = 100;

type Service = Pick<Runtime, "grpcAddress" | "httpAddress" | "close">;

/** `promptd serve`: until the first SIGTERM or SIGINT, and the calls that were in flight then. */
export async function serve(terminal: Terminal, options: SettingOptions): Promise<void> {
  const settings = settingsOf(terminal, options);
  if (cluster.isWorker) {
    await serveAsWorker(settings);
    return;
  }
  const stop = stopSignal();
  const service = settings.workers === 1 ? await startHere(settings) : await startWorkers(settings);
  terminal.out(firstSteps(service, settings));
  await stop;
  await service.close();
  exitSoon();
}

async function startHere(settings: Settings, fellows?: Fellows): Promise<Runtime> {
  return withSmallYoungHeap(async () => {
    const { start } = await import("../runtime.ts");
    return start(settings, createLog(settings.logLevel), fellows);
  });
}

async function startWorkers(settings: Settings): Promise<Service> {
  const { Workers } = await import("../workers/primary.ts");
  return Workers.start({
    count: settings.workers,
    graceMs: settings.shutdownGrace,
    log: createLog(settings.logLevel),
  });
}

async function serveAsWorker(settings: Settings): Promise<void> {
  const { Fellows } = await import("../workers/worker.ts");
  const fellows = new Fellows();
  const stop = Promise.race([stopSignal(), fellows.stop]);
  const runtime = await startHere(settings, fellows).catch((thrown: unknown) => {
    fellows.leave();
    throw thrown;
  });
  fellows.serving(runtime);
  await stop;
  await runtime.close();
  exitSoon();
}

/** Connections to a database that hangs, and to a primary, would keep the process. */
function exitSoon(): void {
  setTimeout(() => process.exit(EXIT.ok), EXIT_MS).unref();
}

/** One that comes while the service starts is heeded once it has. */
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
function firstSteps(
  { grpcAddress, httpAddress }: Service,
  { tlsCert, tlsClientCa }: Settings,
): string {
  const certificate =
    tlsCert === undefined ? undefined : new X509Certificate(readFileSync(tlsCert));
  const grpc = reachable(grpcAddress, certificate);
  const http = reachable(httpAddress, certificate);
  const request = `'{"name":"${EXAMPLE}"}'`;
  /** Whoever trusts promptd's own certificate needs no CA. */
  const tls = (ca: string, cert: string, key: string): string => {
    if (tlsCert === undefined) return "";
    const own = tlsClientCa === undefined ? "" : ` ${cert} CERT ${key} KEY`;
    return ` ${ca} ${quoted(tlsCert)}${own}`;
  };
  const promptd = `--address ${grpc}${tls("--ca-cert", "--client-cert", "--client-key")}`;
  const url = `${tlsCert ? "https" : "http"}://${http}/promptd.v1.PromptService/GetPrompt`;
  return `promptd serves gRPC on ${grpcAddress}, and Connect, gRPC-Web and JSON on ${httpAddress}.

Ask it for a prompt (npx promptd import prompts ${promptd} brings the samples):

  npx promptd get ${EXAMPLE} ${promptd}
  curl${tls("--cacert", "--cert", "--key")} -H 'content-type: application/json' -d ${request} ${url}
  grpcurl${tls("-cacert", "-cert", "-key") || " -plaintext"} -d ${request} ${grpc} promptd.v1.PromptService/GetPrompt

`;
}

/** Where a service can be called that listens on all addresses; within TLS, by a name that its certificate has. */
function reachable(address: string, certificate: X509Certificate | undefined): string {
  const here = address.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, "127.0.0.1");
  const host = here.slice(0, here.lastIndexOf(":")).replace(/[[\]]/g, "");
  if (certificate === undefined || certificate.checkIP(host) || certificate.checkHost(host)) {
    return here;
  }
  const [, name] = /DNS:([^*,]+)/.exec(certificate.subjectAltName ?? "") ?? [];
  return name === undefined ? here : `${name}${here.slice(here.lastIndexOf(":"))}`;
}

function quoted(file: string): string {
  return /^[\w./-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`;
}
