/** A prompt with 100,000 versions, and one with 10,000 labels: pages and moves take what they take with few. */

import { setTimeout } from "node:timers/promises";
import { median } from "../harness/compare.ts";
import { type Promptd, startPromptd } from "../harness/promptd.ts";
import type { Result } from "../harness/result.ts";

const FEW = 100;
const VERSIONS = 100_000;
const LABELS = 10_000;
const ROUNDS = 50;

/** In one request. */
const LABELS_AT_ONCE = 100;

/** Near constant. */
const MOST = 1.5;

interface Case {
  what: string;
  few: () => Promise<unknown>;
  many: () => Promise<unknown>;
}

export async function run(): Promise<Result> {
  const promptd = await startPromptd();
  const { prompts } = promptd.replica;
  try {
    await createVersions(promptd, "few", FEW);
    await createVersions(promptd, "many", VERSIONS);
    await createVersions(promptd, "labelled", 2);
    for (let label = 0; label < LABELS; label += LABELS_AT_ONCE) {
      const moves = Array.from({ length: LABELS_AT_ONCE }, (_, index) => ({
        label: `label-${label + index}`,
        version: 1,
      }));
      await prompts.setLabels({ name: "labelled", moves });
    }
    let moved = 0;
    const move = (name: string, label: string) => () =>
      prompts.setLabels({ name, moves: [{ label, version: 1 + (moved++ % 2) }] });
    const page =
      (name: string, pageToken = "") =>
      () =>
        prompts.listVersions({ name, pageSize: 50, pageToken });
    const middle = await tokenInTheMiddle(promptd);
    const cases: Case[] = [
      { what: `the first page of ${VERSIONS} versions`, few: page("few"), many: page("many") },
      {
        what: `a page in the middle of ${VERSIONS} versions`,
        few: page("few"),
        many: page("many", middle),
      },
      {
        what: `a move of a label over ${VERSIONS} versions`,
        few: move("few", "a"),
        many: move("many", "a"),
      },
      {
        what: `a move of one of ${LABELS} labels`,
        few: move("few", "b"),
        many: move("labelled", "label-5000"),
      },
    ];
    const rows: Result["rows"] = [];
    const goals: Result["goals"] = [];
    for (const { what, few, many } of cases) {
      const ms = { few: [] as number[], many: [] as number[] };
      for (let round = -5; round < ROUNDS; round++) {
        const [ofFew, ofMany] = [await time(few), await time(many)];
        if (round < 0) continue;
        ms.few.push(ofFew);
        ms.many.push(ofMany);
        await setTimeout(1);
      }
      const ratio = median(ms.many) / median(ms.few);
      rows.push({
        call: what,
        "ms with few": median(ms.few).toFixed(2),
        "ms with many": median(ms.many).toFixed(2),
      });
      goals.push({
        what: `${what}, as a multiple of the same with few`,
        goal: `≤ ${MOST}`,
        seen: ratio.toFixed(2),
        spread: "",
        reached: ratio <= MOST,
      });
    }
    return { rows, goals };
  } finally {
    await promptd.stop();
  }
}

async function createVersions({ replica }: Promptd, name: string, count: number): Promise<void> {
  for (let number = 1; number <= count; number++) {
    const template = { case: "text", value: `version ${number} of {{what}}` } as const;
    await replica.prompts.createVersion({ name, template });
  }
}

/** Pages are read from the newest one on; the token of a page is all that tells where it begins. */
async function tokenInTheMiddle({ replica }: Promptd): Promise<string> {
  let pageToken = "";
  for (let page = 0; page < VERSIONS / 200 / 2; page++) {
    const listed = await replica.prompts.listVersions({ name: "many", pageSize: 200, pageToken });
    pageToken = listed.nextPageToken;
  }
  return pageToken;
}

async function time(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
