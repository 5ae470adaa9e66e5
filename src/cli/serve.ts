import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Runtime } from "../runtime.ts";
import type { Settings } from "../settings.ts";
import { EXIT } from "./exit.ts";
import { type SettingOptions, settingsOf } from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";
import { withSmallYoungHeap } from "./young-heap.ts";

/** One of the prompts that come with promptd. */
const EXAMPLE = "support/reply";

/** For what was written last to leave, in milliseconds. */
const EXIT_MS = 100;

/** `promptd serve`: until the first SIGTERM or SIGINT, and the calls that were in flight then. */
export async function serve(terminal: Terminal, options: SettingOptions): Promise<void> {
  const settings = settingsOf(terminal, options);
  const runtime = await withSmallYoungHeap(async () => {
    const { start } = await import("../runtime.ts");
    return start(settings);
  });
  terminal.out(firstSteps(runtime, settings));
  await stopSignal();
  await runtime.close();
  // Connections to a database that hangs would keep the process.
  setTimeout(() => process.exit(EXIT.ok), EXIT_MS).unref();
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
function firstSteps(
  { grpcAddress, httpAddress }: Runtime,
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
