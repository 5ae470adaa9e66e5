/** The same with 10 prompts in the registry and with 100,000, asked for evenly and by Zipf's law. */

import type { Asked } from "../harness/asker.ts";
import { Askers } from "../harness/asking.ts";
import { median, shareOf } from "../harness/compare.ts";
import { filledWith, manyPrompts } from "../harness/many.ts";
import { type Promptd, startPromptd, TEMPLATE } from "../harness/promptd.ts";
import { atLeast, type Result, range } from "../harness/result.ts";

const ROUNDS = 11;
const FEW = 10;
const MANY = 100_000;

/** Room for all of them. */
const MEMORY = "4GiB";

/** Beside its content. */
const OVERHEAD_BYTES = 2048;

export async function run(): Promise<Result> {
  const askers = new Askers();
  const folders = [await filledWith(manyPrompts(FEW)), await filledWith(manyPrompts(MANY))];
  const [few, many] = (await Promise.all(
    folders.map(({ folder }) =>
      startPromptd({
        env: { PROMPTD_MEMORY: MEMORY, PROMPTD_MEMORY_FRESH: "24h", PROMPTD_DATA_DIR: folder },
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

/** What is used of the heap and beside it: the least of some looks, since what is garbage counts until it is collected. */
async function memory({ replica }: Promptd): Promise<number> {
  const looks: number[] = [];
  for (let look = 0; look < 50; look++) {
    const [heap = 0, external = 0] = await Promise.all(
      ["nodejs_heap_size_used_bytes", "nodejs_external_memory_bytes"].map((name) =>
        replica.metric(name),
      ),
    );
    looks.push(heap + external);
  }
  return Math.min(...looks);
}
