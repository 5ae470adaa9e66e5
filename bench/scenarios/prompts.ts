/** The same with 10 prompts in the registry and with 100,000, asked for evenly and by Zipf's law. */

import { setTimeout } from "node:timers/promises";
import type { Asked } from "../harness/asker.ts";
import { Askers } from "../harness/asking.ts";
import { median, shareOf } from "../harness/compare.ts";
import { filledWith, manyPrompts } from "../harness/many.ts";
import { type Promptd, startPromptd, TEMPLATE } from "../harness/promptd.ts";
import { atLeast, type Result, range } from "../harness/result.ts";

const ROUNDS = 9;
const FEW = 10;
const MANY = 100_000;

/** Room for all of them. */
const MEMORY = "4GiB";

/** Lets a signal collect garbage. */
const COLLECTING = `--import=data:text/javascript,${encodeURIComponent(`
  import { setFlagsFromString } from "node:v8";
  import { runInNewContext } from "node:vm";
  setFlagsFromString("--expose-gc");
  process.on("SIGUSR2", runInNewContext("gc"));
`)}`;

/** Until nothing waits to be written. */
const WRITTEN_MS = 10_000;

/** Beside its content. */
const OVERHEAD_BYTES = 2048;

export async function run(): Promise<Result> {
  const askers = new Askers();
  const folders = [await filledWith(manyPrompts(FEW)), await filledWith(manyPrompts(MANY))];
  const [few, many] = (await Promise.all(
    folders.map(({ folder }) =>
      startPromptd({
        env: {
          PROMPTD_MEMORY: MEMORY,
          PROMPTD_MEMORY_FRESH: "24h",
          PROMPTD_DATA_DIR: folder,
          NODE_OPTIONS: COLLECTING,
        },
        keys: true,
      }),
    ),
  )) as [Promptd, Promptd];
  try {
    const ask = (
      { address, headers = {}, pid }: Promptd,
      prompts: number,
      which: Asked["which"],
      calls = 20_000,
    ) =>
      askers.ask(pid, {
        url: `http://${address}`,
        headers,
        calls,
        streams: 32,
        prompts,
        which,
        answerBytes: TEMPLATE.length,
      });
    await ask(many, FEW, "each", MANY);
    await ask(few, FEW, "each", MANY);
    const before = await memory(many);
    await ask(many, MANY, "each", MANY);
    const bytes = ((await memory(many)) - before) / MANY;
    const ways = {
      few: { what: `${FEW} prompts`, ask: () => ask(few, FEW, "uniform") },
      uniform: { what: `${MANY} prompts, evenly`, ask: () => ask(many, MANY, "uniform") },
      zipf: { what: `${MANY} prompts, by Zipf's law`, ask: () => ask(many, MANY, "zipf") },
      again: { what: `${FEW} prompts, again`, ask: () => ask(few, FEW, "uniform") },
    };
    const micros = {
      few: [] as number[],
      uniform: [] as number[],
      zipf: [] as number[],
      again: [] as number[],
    };
    const names = Object.keys(ways) as (keyof typeof ways)[];
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of names) micros[name].push(await ways[name].ask());
    }
    const share = (name: keyof typeof ways) =>
      shareOf(micros[name].map((each, round) => (micros.few[round] as number) / each));
    const spread = `the same twice: ${range(share("again"))}`;
    const most = TEMPLATE.length * 1.3 + OVERHEAD_BYTES;
    return {
      rows: names.map((name) => ({
        asked: ways[name].what,
        "CPU a call, µs": median(micros[name]).toFixed(1),
      })),
      goals: [
        atLeast(
          `${MANY} prompts evenly: calls a second as a share of those with ${FEW}`,
          0.9,
          share("uniform"),
          spread,
        ),
        atLeast("… by Zipf's law", 0.9, share("zipf"), spread),
        {
          what: `memory of a cached prompt of ${TEMPLATE.length} bytes`,
          goal: `≤ ${most.toFixed(0)} bytes`,
          seen: `${bytes.toFixed(0)} bytes`,
          spread: "",
          reached: bytes <= most,
        },
      ],
    };
  } finally {
    askers.stop();
    await few.stop();
    await many.stop();
    for (const each of folders) each.remove();
  }
}

/** What is used of the heap and beside it, without garbage. */
async function memory({ pid, replica }: Promptd): Promise<number> {
  // What was answered is kept on disk too, some of it a little later.
  await setTimeout(WRITTEN_MS);
  process.kill(pid, "SIGUSR2");
  const [heap = 0, external = 0] = await Promise.all(
    ["nodejs_heap_size_used_bytes", "nodejs_external_memory_bytes"].map((name) =>
      replica.metric(name),
    ),
  );
  return heap + external;
}
