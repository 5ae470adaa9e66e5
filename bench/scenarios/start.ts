/** How long a start takes, and what an idle process weighs. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { median, shareOf } from "../harness/compare.ts";
import { pinned, SERVER_CORE } from "../harness/cores.ts";
import { filledWith, manyPrompts } from "../harness/many.ts";
import { atMost, type Result, range } from "../harness/result.ts";

const ROUNDS = 15;
const PROMPTS = 10_000;

/** After so long a process that is left alone is idle. */
const IDLE_MS = 3000;

const MOST_MB = 110;

/** What `promptd serve` imports, and no more. */
const IMPORTS = `
  await import("./dist/src/cli/program.js");
  await import("./dist/src/runtime.js");
  console.log("imported");
  setInterval(() => {}, 60_000);
`;
const BARE = ["--input-type=module", "--eval", IMPORTS];
const SERVE = ["dist/src/main.js", "serve"];

export async function run(): Promise<Result> {
  const empty = mkdtempSync(join(tmpdir(), "promptd-empty-"));
  const full = await filledWith(manyPrompts(PROMPTS));
  try {
    const cases = [
      { what: "bare Node with the same imports", args: BARE, folder: empty },
      { what: "the same again", args: BARE, folder: empty },
      { what: "promptd, no prompts", args: SERVE, folder: empty },
      { what: `promptd, ${PROMPTS} prompts`, args: SERVE, folder: full.folder },
    ].map((each) => ({ ...each, starts: [] as number[], memory: 0 }));
    for (let round = 0; round < ROUNDS; round++) {
      for (const each of cases) each.starts.push((await begin(each.args, each.folder)).ms);
    }
    for (const each of cases)
      each.memory = (await begin(each.args, each.folder, IDLE_MS)).megabytes;
    const ratio = (of: number) =>
      shareOf(
        (cases[of]?.starts ?? []).map((ms, round) => ms / (cases[0]?.starts[round] as number)),
      );
    const spread = `the same twice: ${range(ratio(1))}`;
    const weight = (of: number) => {
      const { what = "", memory = Number.NaN } = cases[of] ?? {};
      const seen = `${memory.toFixed(0)} MB`;
      return {
        what: `idle memory: ${what}`,
        goal: `≤ ${MOST_MB} MB`,
        seen,
        spread: "",
        reached: memory <= MOST_MB,
      };
    };
    return {
      rows: cases.map(({ what, starts, memory }) => ({
        process: what,
        "start, ms": median(starts).toFixed(0),
        "resident after 3 s, MB": memory.toFixed(0),
      })),
      goals: [
        atMost(
          "start until it serves, as a multiple of bare Node with the same imports",
          1.3,
          ratio(2),
          spread,
        ),
        atMost(`… with ${PROMPTS} prompts`, 1.3, ratio(3), spread),
        weight(2),
        weight(3),
      ],
    };
  } finally {
    rmSync(empty, { recursive: true, force: true });
    full.remove();
  }
}

/** Runs a program until it has said something, and then for as long as is asked for. */
async function begin(args: string[], folder: string, idleMs = 0) {
  const began = performance.now();
  const [command, rest] = pinned(SERVER_CORE, process.execPath, ...args);
  const child = spawn(command, rest, {
    env: {
      PATH: process.env.PATH,
      PROMPTD_DATA_DIR: folder,
      PROMPTD_GRPC_LISTEN: "127.0.0.1:0",
      PROMPTD_HTTP_LISTEN: "127.0.0.1:0",
    },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const exited = once(child, "exit");
  await once(createInterface({ input: child.stdout }), "line");
  const ms = performance.now() - began;
  await setTimeout(idleMs);
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  const megabytes = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  child.kill("SIGKILL");
  await exited;
  return { ms, megabytes };
}
