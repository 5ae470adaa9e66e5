/** A prompt with 100,000 versions and 10,000 labels: pages and moves take what they take with few. */

import { setTimeout } from "node:timers/promises";
import type { Adoption } from "../../src/store/adoptions.ts";
import { median } from "../harness/compare.ts";
import { filledWith, labelOf, versionOf } from "../harness/many.ts";
import { type Promptd, startPromptd } from "../harness/promptd.ts";
import type { Result } from "../harness/result.ts";

const ROUNDS = 50;

const FEW = { versions: 100, labels: 10 };
const MANY = { versions: 100_000, labels: 10_000 };

/** Put there in one step. */
const VERSIONS_AT_ONCE = 1000;

/** Near constant. */
const MOST = 1.5;

interface Case {
  what: string;
  few: () => Promise<unknown>;
  many: () => Promise<unknown>;
}

export async function run(): Promise<Result> {
  const filled = await filledWith([...numbered("few", FEW), ...numbered("many", MANY)]);
  const promptd = await startPromptd({ env: { PROMPTD_DATA_DIR: filled.folder } });
  const { prompts } = promptd.replica;
  try {
    const move = (name: string, label: string) => {
      let version = 1;
      return () => {
        version = 3 - version;
        return prompts.setLabels({ name, moves: [{ label, version }] });
      };
    };
    const page =
      (name: string, pageToken = "") =>
      () =>
        prompts.listVersions({ name, pageSize: 50, pageToken });
    const tokens = await pageTokens(promptd);
    const of = `of ${MANY.versions} versions`;
    const few = page("few");
    const cases: Case[] = [
      { what: `the first page ${of}`, few, many: page("many") },
      { what: `a page in the middle ${of}`, few, many: page("many", tokens.middle) },
      { what: `the last page ${of}`, few, many: page("many", tokens.last) },
      {
        what: `a move of one of ${MANY.labels} labels`,
        few: move("few", "label-5"),
        many: move("many", "label-5000"),
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
    filled.remove();
  }
}

/** A prompt with so many versions, and labels on the first of them. */
function* numbered(name: string, { versions, labels }: typeof FEW): Iterable<Adoption> {
  const versionAt = (number: number) => versionOf(number, `version ${number} of {{what}}`);
  for (let from = 1; from <= versions; from += VERSIONS_AT_ONCE) {
    const count = Math.min(VERSIONS_AT_ONCE, versions - from + 1);
    const adopted = Array.from({ length: count }, (_, index) => versionAt(from + index));
    yield { name, versions: adopted, reason: "" };
  }
  const first = versionAt(1);
  const all = Array.from({ length: labels }, (_, index) => labelOf(`label-${index}`, first));
  yield { name, versions: [], beside: { labels: all, tags: [] }, reason: "" };
}

/** Pages are read from the newest one on; the token of a page is all that tells where it begins. */
async function pageTokens({ replica }: Promptd): Promise<{ middle: string; last: string }> {
  const tokens = [""];
  for (;;) {
    const pageToken = tokens.at(-1) as string;
    const listed = await replica.prompts.listVersions({ name: "many", pageSize: 200, pageToken });
    if (listed.nextPageToken === "") break;
    tokens.push(listed.nextPageToken);
  }
  return { middle: tokens[tokens.length >> 1] as string, last: tokens.at(-1) as string };
}

async function time(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
