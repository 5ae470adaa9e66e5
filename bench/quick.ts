/**
 * Fails where the service got clearly slower beside what it is compared with: each ratio has a floor
 * in floors.json, well below what is seen. Instructions are counted where the machine can, which
 * its other work does not change; else CPU time.
 */

import { readFileSync } from "node:fs";
import type { Compared } from "./harness/compare.ts";
import { countInstructions, LOAD } from "./harness/h2load.ts";
import { NAMES as BATCH, measure as measureBatch } from "./scenarios/batch.ts";
import { NAMES as COMPILE, measure as measureCompile, measureEngine } from "./scenarios/compile.ts";
import { NAMES as GET, measure as measureGet } from "./scenarios/get-prompt.ts";

const ROUNDS = 3;
const CALLS = { ...LOAD, calls: 6000 };
const WARM_UP_CALLS = 20_000;

const floors: Record<string, number> = JSON.parse(readFileSync("bench/floors.json", "utf8"));
const unit = (await countInstructions()) ? "instructions" : "CPU time";

const get = await measureGet(ROUNDS, CALLS, WARM_UP_CALLS);
const compiled = await measureCompile(ROUNDS, CALLS, WARM_UP_CALLS);
const batch = await measureBatch(ROUNDS, CALLS, WARM_UP_CALLS);
const engine = measureEngine(15);
const seen: Record<string, number> = {
  "GetPrompt beside grpc-js with ready bytes": share(get, GET.full, GET.ready),
  "GetPrompt beside grpc-js that encodes": share(get, GET.full, GET.encode),
  "Compile beside GetPrompt": share(compiled, COMPILE.compile, COMPILE.get),
  "a prompt of a batch beside GetPrompt": 20 * share(batch, BATCH.batch, BATCH.single),
  "joining segments beside the template engine": 1 / engine.join.median,
  "the template engine beside mustache.js": engine.mustache.median,
};

let tooSlow = false;
for (const [what, ratio] of Object.entries(seen)) {
  const floor = floors[what];
  if (floor === undefined) throw new Error(`bench/floors.json has no floor for: ${what}`);
  const verdict = ratio >= floor ? "" : ": TOO SLOW";
  tooSlow ||= ratio < floor;
  console.log(`${ratio.toFixed(2)} (at least ${floor}) ${what}${verdict}`);
}
console.log(`calls are compared by ${unit}`);
process.exit(tooSlow ? 1 : 0);

/** The best of the rounds: what else the machine does only takes away. */
function share(compared: Compared, subject: string, reference: string): number {
  return compared.best(reference) / compared.best(subject);
}
