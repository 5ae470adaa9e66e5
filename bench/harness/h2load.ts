/** Drives a server with h2load, so that the client is not the limit, and tells what its calls cost the server. */

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { CLIENT_CORES, pinned } from "./cores.ts";

/** What is called, over and over with the same bytes. */
export interface Target {
  /** Of the server. */
  pid: number;
  url: string;
  headers: Record<string, string>;
  /** Of a request, as it is sent. */
  body: Uint8Array;
  /** What each answer holds at least: one that says no is shorter. Undefined where calls may fail. */
  answerBytes: number | undefined;
  /** HTTP/1.1 instead of HTTP/2. */
  http1?: boolean;
}

export interface Load {
  calls: number;
  connections: number;
  /** Calls that one connection has open at once. */
  streams: number;
  /** All connections together; undefined: as fast as answers come. */
  callsPerSecond?: number;
}

/** What fills a server without calls that wait for long. */
export const LOAD: Load = { calls: 20_000, connections: 4, streams: 8 };

/** What became of a load. */
export interface Outcome {
  /** Calls that were answered in full, be it with a refusal. */
  succeeded: number;
  callsPerSecond: number;
  /** Of the server's process, user and system, in microseconds a call. */
  cpuMicros: number;
  /** Of the server's process in user mode, a call; undefined where they cannot be counted. */
  instructions: number | undefined;
  /** From a call to the last byte of its answer; only where a rate was asked for. */
  milliseconds: number[];
}

const run = promisify(execFile);

/** Calls that h2load keeps the times of. */
const OUTPUT_BYTES = 64 * 2 ** 20;

/** Clock ticks a second of /proc, which is 100 wherever Linux runs on 64 bits. */
const TICKS = 100;

/** @throws where any call failed, or was answered with less than was expected */
export async function drive(target: Target, load: Load): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), "promptd-h2load-"));
  try {
    const body = join(directory, "body");
    const log = join(directory, "log");
    writeFileSync(body, target.body);
    const { callsPerSecond: rate } = load;
    const args = [
      `--requests=${load.calls}`,
      `--clients=${load.connections}`,
      `--max-concurrent-streams=${load.streams}`,
      "--threads=1",
      `--data=${body}`,
      ...(target.http1 ? ["--h1"] : []),
      ...(rate === undefined ? [] : [`--rps=${rate / load.connections}`, `--log-file=${log}`]),
      ...Object.entries(target.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]),
      target.url,
    ];
    const [command, rest] = pinned(CLIENT_CORES, "h2load", ...args);
    const before = cpuSeconds(target.pid);
    const counted = await countInstructions();
    const counting = counted
      ? ["perf", ["stat", "-x,", "-einstructions:u", `-p${target.pid}`, "--", command, ...rest]]
      : [command, rest];
    const { stdout, stderr } = await run(counting[0] as string, counting[1] as string[], {
      maxBuffer: OUTPUT_BYTES,
    });
    const cpu = cpuSeconds(target.pid) - before;
    requireAnswers(stdout, target, load);
    return {
      succeeded: Number(/(\d+) succeeded/.exec(stdout)?.[1]),
      callsPerSecond: Number(/([\d.]+) req\/s/.exec(stdout)?.[1]),
      cpuMicros: (cpu / load.calls) * 1e6,
      instructions: counted ? instructionsOf(stderr) / load.calls : undefined,
      milliseconds: rate === undefined ? [] : timesOf(readFileSync(log, "utf8")),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** User and system time of all threads of a process. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // After the command's name, which may hold anything: utime and stime are the 14th and 15th of all.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** HTTP's status says 200 for whatever gRPC answers, so the bytes are looked at. */
function requireAnswers(stdout: string, { answerBytes }: Target, { calls }: Load): void {
  if (answerBytes === undefined) return;
  const [, succeeded] = /([\d]+) succeeded/.exec(stdout) ?? [];
  const [, bytes] = /\((\d+)\) data/.exec(stdout) ?? [];
  if (Number(succeeded) === calls && Number(bytes) >= calls * answerBytes) return;
  throw new Error(`h2load expected ${calls} answers of ${answerBytes} bytes and more:\n${stdout}`);
}

let canCount: Promise<boolean> | undefined;

/** Whether the machine lets a process count those of another. */
export function countInstructions(): Promise<boolean> {
  canCount ??= run("perf", ["stat", "-x,", "-einstructions:u", "true"]).then(
    ({ stderr }) => instructionsOf(stderr) > 0,
    () => false,
  );
  return canCount;
}

function instructionsOf(stderr: string): number {
  return Number(/^(\d+),,instructions/m.exec(stderr)?.[1]);
}

/** Each line: when it was sent, the status, and the microseconds that it took. */
function timesOf(log: string): number[] {
  return log
    .trim()
    .split("\n")
    .map((line) => Number(line.split("\t")[2]) / 1000);
}
