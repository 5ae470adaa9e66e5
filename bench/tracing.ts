/**
 * What tracing costs the callers of GetPrompt, and a process's memory, while the
 * collector is well and while it is not. Processes that differ in nothing else
 * are called in turn, so that what else the machine does meets them all.
 */

import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import type { Called, Load } from "./caller.ts";
import { type Replica, startReplica } from "./replicas.ts";
import { report } from "./report.ts";

/** The second one leaves every process time to spare. */
const RATES = [5000, 2000];
/** One alone would take a core for itself, and wait for it. */
const CALLERS = 3;

const ROUNDS = 5;
const ROUND_SECONDS = 5;

/** Left out: code that runs for the first time is slow. */
const WARM_UP_SECONDS = 6;

const NAME = "support/triage";
const TEMPLATE = {
  case: "text",
  value: "Sort this into a queue: {{question}}. ".repeat(50),
} as const;

/** What came of the calls of a round. */
interface Round {
  milliseconds: number[];
  failures: number;
  callsPerSecond: number;
  /** Of the process, in microseconds. */
  cpuPerCall: number;
  /** Resident memory at its end, in MB. */
  memory: number;
}

interface Case {
  what: string;
  replica: Replica;
  callers: ChildProcess[];
  collector: ChildProcess | undefined;
  /** By rate. */
  rounds: Map<number, Round[]>;
}

const cases: Case[] = [];
try {
  cases.push(await begin("without traces"));
  cases.push(await begin("collector well", "well"));
  cases.push(await begin("collector down", "down"));
  cases.push(await begin("collector hangs", "hanging"));
  cases.push(await begin("collector answers after 5 s", "slow"));
  for (const each of cases) await load(each, WARM_UP_SECONDS, Math.max(...RATES));
  for (const rate of RATES) {
    for (let round = 0; round < ROUNDS; round++) {
      for (const each of cases) {
        const rounds = each.rounds.get(rate) ?? [];
        each.rounds.set(rate, [...rounds, await load(each, ROUND_SECONDS, rate)]);
      }
    }
  }
  report(
    "bench:tracing",
    [
      "| calls/s asked for | | failures | calls/s, least of the rounds | p50, ms | p99, ms | p99 of the rounds | CPU a call, µs | memory after the first round and the last, MB |",
      "|---|---|---|---|---|---|---|---|---|",
      ...RATES.flatMap((rate) => cases.map((each) => row(each, rate))),
      "",
      "| | spans sent | dropped |",
      "|---|---|---|",
      ...(await Promise.all(cases.map(spanRow))),
    ].join("\n"),
  );
} finally {
  for (const { replica, callers, collector } of cases) {
    for (const child of [...callers, collector]) child?.kill("SIGKILL");
    await replica.stop("SIGKILL");
  }
}

async function begin(what: string, state?: "well" | "down" | "hanging" | "slow"): Promise<Case> {
  const { url, collector } = await startCollector(state);
  const replica = await startReplica(url === undefined ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT: url });
  await replica.prompts.createVersion({ name: NAME, template: TEMPLATE, labels: ["production"] });
  const args = [replica.grpcAddress, NAME];
  const callers = Array.from({ length: CALLERS }, () =>
    fork("bench/caller.ts", args, {
      execArgv: ["--import", "tsx"],
      // Numbers by the ten thousand.
      serialization: "advanced",
    }),
  );
  return { what, replica, callers, collector, rounds: new Map() };
}

async function startCollector(state: string | undefined) {
  if (state === undefined) return { url: undefined, collector: undefined };
  const program = ["--import", "tsx", "bench/collector.ts", state];
  const collector = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
  const [port] = await once(collector.stdout, "data");
  if (state === "down") collector.kill("SIGKILL");
  return { url: `http://127.0.0.1:${String(port).trim()}`, collector };
}

async function load({ replica, callers }: Case, seconds: number, rate: number): Promise<Round> {
  const cpuSeconds = () => replica.metric("process_cpu_seconds_total");
  const before = await cpuSeconds();
  const called = await Promise.all(
    callers.map(async (caller) => {
      const done = once(caller, "message");
      caller.send({ seconds, callsPerSecond: rate / CALLERS } satisfies Load);
      const [what] = await done;
      return what as Called;
    }),
  );
  const milliseconds = called.flatMap((each) => each.milliseconds);
  const longest = Math.max(...called.map((each) => each.seconds));
  return {
    milliseconds,
    failures: called.reduce((sum, { failures }) => sum + failures, 0),
    callsPerSecond: milliseconds.length / longest,
    cpuPerCall: (((await cpuSeconds()) - before) / milliseconds.length) * 1e6,
    memory: (await replica.metric("process_resident_memory_bytes")) / 2 ** 20,
  };
}

function row({ what, rounds: byRate }: Case, rate: number): string {
  const rounds = byRate.get(rate) ?? [];
  const all = rounds.flatMap(({ milliseconds }) => milliseconds);
  const p99s = rounds.map(({ milliseconds }) => quantile(milliseconds, 0.99));
  const cells = [
    rate,
    what,
    rounds.reduce((sum, round) => sum + round.failures, 0),
    Math.min(...rounds.map(({ callsPerSecond }) => callsPerSecond)).toFixed(0),
    median(all).toFixed(2),
    quantile(all, 0.99).toFixed(1),
    `${Math.min(...p99s).toFixed(1)} to ${Math.max(...p99s).toFixed(1)}`,
    median(rounds.map(({ cpuPerCall }) => cpuPerCall)).toFixed(0),
    `${rounds.at(0)?.memory.toFixed(0)}, ${rounds.at(-1)?.memory.toFixed(0)}`,
  ];
  return `| ${cells.join(" | ")} |`;
}

async function spanRow({ what, replica }: Case): Promise<string> {
  const spans = ["promptd_spans_exported_total", "promptd_spans_dropped_total"];
  const counts = await Promise.all(spans.map((name) => replica.metric(name)));
  return `| ${[what, ...counts].join(" | ")} |`;
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
}
