/**
 * Runs the scenarios that are named, or all: each a file in `bench/scenarios/`. What they find goes to
 * docs/benchmarks.json and docs/benchmarks.md, where that of the others stays.
 */

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { BACKING_CORE } from "./harness/cores.ts";
import { type Result, tableOf } from "./harness/result.ts";
import { machine, report } from "./report.ts";

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

const recorded: Record<string, Recorded> = JSON.parse(readFileSync(RESULTS, "utf8"));
for (const name of asked.length > 0 ? asked : all) {
  console.log(`\n${name}`);
  const { run } = (await import(`./scenarios/${name}.ts`)) as { run: () => Promise<Result> };
  const result = await run();
  const date = new Date().toISOString().slice(0, 10);
  recorded[name] = { command: `npm run bench -- ${name}`, machine: machine(), date, ...result };
  writeFileSync(RESULTS, `${JSON.stringify(recorded, null, 2)}\n`);
  report(`bench -- ${name}`, tableOf(result.rows));
}
report("bench", tableOf(Object.values(recorded).flatMap(({ goals }) => goals.map(goalRow))));
process.exit(0);

function goalRow({ what, goal, seen, spread, reached }: Result["goals"][number]) {
  const verdict = reached === undefined ? "reported" : reached ? "yes" : "**no**";
  return { scenario: what, goal, seen, spread, reached: verdict };
}
