/**
 * What tracing costs the callers of GetPrompt, and a process's memory, while the
 * collector is well and while it is not. Processes that differ in nothing else
 * are called in turn, so that what else the machine does meets them all.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { credentials, Client as GrpcClient, Metadata } from "@grpc/grpc-js";
import { GetPromptRequestSchema } from "../gen/promptd/v1/prompt_service_pb.ts";
import { type Replica, startReplica } from "./replicas.ts";
import { report } from "./report.ts";

const CALLS_PER_SECOND = 5000;
const ROUNDS = 8;
const ROUND_SECONDS = 10;

/** Left out: code that runs for the first time is slow. */
const WARM_UP_SECONDS = 10;

/** As so many services would have. */
const CONNECTIONS = 4;

const NAME = "support/triage";
const TEMPLATE = {
  case: "text",
  value: "Sort this into a queue: {{question}}. ".repeat(50),
} as const;

/** Each call is in a trace of its caller's that is sampled. */
const TRACED = new Metadata();
TRACED.set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

/** What came of the calls of a round. */
interface Round {
  milliseconds: number[];
  failures: number;
  callsPerSecond: number;
  /** Resident memory at its end, in MB. */
  memory: number;
}

interface Case {
  what: string;
  replica: Replica;
  clients: GrpcClient[];
  collector: ChildProcess | undefined;
  rounds: Round[];
}

const cases: Case[] = [];
try {
  cases.push(await begin("without traces"));
  cases.push(await begin("collector well", "well"));
  cases.push(await begin("collector down", "down"));
  cases.push(await begin("collector hangs", "hanging"));
  cases.push(await begin("collector answers after 5 s", "slow"));
  for (const each of cases) await load(each, WARM_UP_SECONDS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const each of cases) each.rounds.push(await load(each, ROUND_SECONDS));
  }
  report(
    "bench:tracing",
    [
      "| | calls | failures | calls/s | p50, ms | p99, ms | p99 of the rounds | memory after the first round, and the last, MB | spans sent | dropped |",
      "|---|---|---|---|---|---|---|---|---|---|",
      ...(await Promise.all(cases.map(row))),
    ].join("\n"),
  );
} finally {
  for (const { replica, clients, collector } of cases) {
    for (const client of clients) client.close();
    collector?.kill("SIGKILL");
    await replica.stop("SIGKILL");
  }
}

async function begin(what: string, state?: "well" | "down" | "hanging" | "slow"): Promise<Case> {
  const { url, collector } = await startCollector(state);
  const replica = await startReplica(url === undefined ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT: url });
  await replica.prompts.createVersion({ name: NAME, template: TEMPLATE, labels: ["production"] });
  const options = { "grpc.use_local_subchannel_pool": 1 };
  const clients = Array.from(
    { length: CONNECTIONS },
    () => new GrpcClient(replica.grpcAddress, credentials.createInsecure(), options),
  );
  return { what, replica, clients, collector, rounds: [] };
}

async function startCollector(state: string | undefined) {
  if (state === undefined) return { url: undefined, collector: undefined };
  const program = ["--import", "tsx", "bench/collector.ts", state];
  const collector = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
  const [port] = await once(collector.stdout, "data");
  if (state === "down") collector.kill("SIGKILL");
  return { url: `http://127.0.0.1:${String(port).trim()}`, collector };
}

/** Calls at the rate, whether or not the calls before were answered. */
async function load({ replica, clients }: Case, seconds: number): Promise<Round> {
  const milliseconds: number[] = [];
  let failures = 0;
  const open = new Set<Promise<void>>();
  const began = performance.now();
  const most = seconds * CALLS_PER_SECOND;
  for (let called = 0; called < most; ) {
    const due = Math.min(most, ((performance.now() - began) / 1000) * CALLS_PER_SECOND);
    for (; called < due; called++) {
      const asked = performance.now();
      const call = ask(clients[called % CONNECTIONS] as GrpcClient, called)
        .then(() => void milliseconds.push(performance.now() - asked))
        .catch(() => void failures++)
        .finally(() => open.delete(call));
      open.add(call);
    }
    await setTimeout(1);
  }
  await Promise.all(open);
  const callsPerSecond = most / ((performance.now() - began) / 1000);
  const memory = (await replica.metric("process_resident_memory_bytes")) / 2 ** 20;
  return { milliseconds, failures, callsPerSecond, memory };
}

function ask(client: GrpcClient, user: number): Promise<void> {
  const request = create(GetPromptRequestSchema, { name: NAME, userId: `user-${user}` });
  const same = (bytes: Buffer) => bytes;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest<Buffer, Buffer>(
      "/promptd.v1.PromptService/GetPrompt",
      same,
      same,
      Buffer.from(toBinary(GetPromptRequestSchema, request)),
      TRACED,
      (error) => (error === null ? resolve() : reject(error)),
    );
  });
}

async function row({ what, replica, rounds }: Case): Promise<string> {
  const all = rounds.flatMap(({ milliseconds }) => milliseconds);
  const p99s = rounds.map(({ milliseconds }) => quantile(milliseconds, 0.99));
  const failures = rounds.reduce((sum, round) => sum + round.failures, 0);
  const slowest = Math.min(...rounds.map(({ callsPerSecond }) => callsPerSecond));
  const [sent, dropped] = await Promise.all(
    ["promptd_spans_exported_total", "promptd_spans_dropped_total"].map((name) =>
      replica.metric(name),
    ),
  );
  const cells = [
    all.length + failures,
    failures,
    slowest.toFixed(0),
    quantile(all, 0.5).toFixed(2),
    quantile(all, 0.99).toFixed(1),
    `${Math.min(...p99s).toFixed(1)} to ${Math.max(...p99s).toFixed(1)}`,
    `${rounds.at(0)?.memory.toFixed(0)}, ${rounds.at(-1)?.memory.toFixed(0)}`,
    sent,
    dropped,
  ];
  return `| ${what} | ${cells.join(" | ")} |`;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
}
