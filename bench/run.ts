/**
 * Runs the scenarios that are named, or all: each a file in `bench/scenarios/`. What they find goes to
 * docs/benchmarks.json and docs/benchmarks.md, where that of the others stays; that of one that fails too.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { BACKING_CORE } from "./harness/cores.ts";
import { type Result, tableOf } from "./harness/result.ts";
import { machine, report } from "./report.ts";

/** A scenario that takes longer has failed, in milliseconds. */
const LONGEST_MS = 5 * 60_000;

const RESULTS = "docs/benchmarks.json";

interface Recorded extends Result {
  command: string;
  machine: string;
  /** Of the measurement. */
  date: string;
}

// What it starts is there too, unless it has a core of its own.
execFileSync("taskset", ["-acp", BACKING_CORE, String(process.pid)], { stdio: "ignore" });

const all = readdirSync("bench/scenarios").map((file) => file.replace(/\.ts$/, ""));
const asked = process.argv.slice(2);
for (const name of asked) {
  if (!all.includes(name)) throw new Error(`${name} is none of ${all.join(", ")}`);
}

const [only, ...others] = asked;
if (only !== undefined && others.length === 0) {
  // Ends what it has started too.
  setTimeout(() => {
    console.error(`${only} takes too long`);
    process.exit(1);
  }, LONGEST_MS).unref();
  await measure(only);
} else {
  // Each in a process of its own: one that fails takes nothing with it.
  const programs = (asked.length > 0 ? asked : all).map((name) => ["bench/run.ts", name]);
  if (asked.length === 0) programs.push(["bench/client.ts"]);
  const failed = programs.filter((program) => !succeeds(program));
  if (failed.length > 0) console.error(`failed: ${failed.flat().join(" ")}`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}
process.exit();

async function measure(name: string): Promise<void> {
  console.log(`\n${name}`);
  const { run } = (await import(`./scenarios/${name}.ts`)) as { run: () => Promise<Result> };
  const result = await run();
  const date = new Date().toISOString().slice(0, 10);
  const all = recorded();
  all[name] = { command: `npm run bench -- ${name}`, machine: machine(), date, ...result };
  writeFileSync(RESULTS, `${JSON.stringify(all, null, 2)}\n`);
  report(`bench -- ${name}`, tableOf(result.rows));
  reportGoals();
}

function succeeds(program: string[]): boolean {
  const { status } = spawnSync(process.execPath, [...process.execArgv, ...program], {
    stdio: "inherit",
  });
  return status === 0;
}

function recorded(): Record<string, Recorded> {
  return JSON.parse(readFileSync(RESULTS, "utf8"));
}

function reportGoals(): void {
  report("bench", tableOf(Object.values(recorded()).flatMap(({ goals }) => goals.map(goalRow))));
}

function goalRow({ what, goal, seen, spread, reached }: Result["goals"][number]) {
  const verdict = reached === undefined ? "reported" : reached ? "yes" : "**no**";
  return { scenario: what, goal, seen, spread, reached: verdict };
}
