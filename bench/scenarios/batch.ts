/** BatchGetPrompts of 20 prompts, beside calls for one. */

import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { targetOf } from "../harness/calls.ts";
import { type Compared, compare, type Share } from "../harness/compare.ts";
import { LOAD } from "../harness/h2load.ts";
import { PROMPT, startPromptd, TEMPLATE } from "../harness/promptd.ts";
import { atLeast, type Result } from "../harness/result.ts";

const ROUNDS = 11;
const PROMPTS = 20;

const { getPrompt, batchGetPrompts } = PromptService.method;

export const NAMES = { single: "GetPrompt", batch: `BatchGetPrompts of ${PROMPTS}` };

export async function run(): Promise<Result> {
  const seen = await measure(ROUNDS);
  const what = `${NAMES.batch}: prompts a second as a multiple of single calls`;
  return { rows: seen.rows(), goals: [atLeast(what, 8, gain(seen), "")] };
}

/** Prompts a second as a multiple of single calls. */
function gain(seen: Compared): Share {
  const { median, low, high } = seen.share(NAMES.batch, NAMES.single);
  return { median: median * PROMPTS, low: low * PROMPTS, high: high * PROMPTS };
}

export async function measure(rounds: number, load = LOAD, warmUp?: number): Promise<Compared> {
  const names = Array.from({ length: PROMPTS }, (_, index) => `batch/${index}`);
  const promptd = await startPromptd({
    keys: true,
    prepare: async ({ prompts }) => {
      for (const name of names) {
        const template = { case: "text", value: TEMPLATE } as const;
        await prompts.createVersion({ name, template, labels: ["production"] });
      }
    },
  });
  try {
    const single = await targetOf(promptd, getPrompt, { name: PROMPT });
    const requests = names.map((name) => ({ name }));
    const batch = await targetOf(promptd, batchGetPrompts, { requests });
    const targets = { [NAMES.single]: single.target, [NAMES.batch]: batch.target };
    return await compare(targets, { ...load, calls: load.calls / 4 }, rounds, warmUp && warmUp / 4);
  } finally {
    await promptd.stop();
  }
}
