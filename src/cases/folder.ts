/** Runs the test cases of a folder of prompt files, without a service. */

import { isDeepStrictEqual } from "node:util";
import pLimit from "p-limit";
import { type Naming, withoutEnding } from "../files/naming.ts";
import { placesOf } from "../files/places.ts";
import { type Folder, readFolder } from "../files/read-folder.ts";
import { readCases } from "../files/test-case.ts";
import { decodeUtf8 } from "../files/text.ts";
import type { Bodies } from "./compiled.ts";
import type { TestReport } from "./report.ts";
import { type Ask, type PromptCases, runCase } from "./run.ts";
import { type KeptSnapshots, SnapshotFolder } from "./snapshots.ts";

export interface TestOptions {
  naming: Naming;
  /** Whose cases are run, by the prompt's name. */
  isSelected: (name: string) => boolean;
  /** Keeps what is compiled as the snapshots, instead of comparing. */
  update: boolean;
  /** Absent: no model is asked. */
  ask?: Ask;
  /** How many cases run at a time. */
  concurrency: number;
  onProgress?: (done: number, total: number) => void;
}

/** @throws invalid where the folder cannot be read */
export async function testFolder(dir: string, options: TestOptions): Promise<TestReport> {
  const { naming, isSelected, concurrency, onProgress } = options;
  const folder = await readFolder(dir, naming);
  const snapshots = await SnapshotFolder.open(dir);
  const bodies: Bodies = new Map(folder.prompts.map(({ name, content }) => [name, content.body]));
  const refused = folder.refused.filter(({ name, path }) => isSelected(name ?? path));
  const prompts: PromptCases[] = [];
  for (const prompt of folder.prompts) {
    if (isSelected(prompt.name)) prompts.push(await casesOf(prompt, snapshots));
  }

  const all = prompts.flatMap((prompt) => prompt.reads.map((read) => ({ prompt, read })));
  let done = 0;
  const cases = await pLimit(concurrency).map(all, async ({ prompt, read }) => {
    const result = await runCase(prompt, read, bodies, options);
    done += 1;
    onProgress?.(done, all.length);
    return result;
  });
  const settled = [...prompts.map(settledOf), ...(await orphans(folder, snapshots, options))];
  return {
    files: prompts.length + refused.length,
    cases,
    unreadable: refused.map(({ path, why }) => unreadable(path, why)),
    snapshots: await settle(settled, snapshots, options.update),
  };
}

type Prompt = Folder["prompts"][number];

async function casesOf(prompt: Prompt, snapshots: SnapshotFolder): Promise<PromptCases> {
  const { path, name, bytes, content } = prompt;
  const reads = readCases(content.tests ?? [], placesOf(path, decodeUtf8(bytes), content.body));
  const kept = await snapshots.kept(withoutEnding(path));
  return { path, name, body: content.body, reads, kept, compiled: new Map() };
}

/** Errors of files begin with the line. */
function unreadable(file: string, why: string): TestReport["unreadable"][number] {
  const [beginning = "", line] = /^line (\d+): /.exec(why) ?? [];
  return { file, line: Number(line ?? 1), message: why.slice(beginning.length) };
}

/** A prompt's snapshots as they were, and what has become of them. */
interface Settled {
  kept: KeptSnapshots;
  isWanted: (name: string) => boolean;
  compiled: PromptCases["compiled"];
}

/** Writes what was asked for, and tells which snapshots no case asks for any more. */
async function settle(
  settled: readonly Settled[],
  folder: SnapshotFolder,
  update: boolean,
): Promise<TestReport["snapshots"]> {
  const obsolete: TestReport["snapshots"]["obsolete"] = [];
  let written = 0;
  for (const { kept, isWanted, compiled } of settled) {
    const { stem, snapshots } = kept;
    const unwanted = [...snapshots.keys()].filter((name) => !isWanted(name));
    for (const name of unwanted) obsolete.push({ file: folder.pathOf(stem), name });
    const changed = [...compiled].filter(
      ([name, now]) => !isDeepStrictEqual(snapshots.get(name), now),
    );
    if (!update || unwanted.length + changed.length === 0) continue;
    const wanted = [...snapshots].filter(([name]) => isWanted(name));
    await folder.write(stem, new Map([...wanted, ...compiled]));
    written += changed.length;
  }
  return { written, obsolete, removed: update };
}

function settledOf({ reads, kept, compiled }: PromptCases): Settled {
  const cases = reads.flatMap((read) => ("testCase" in read ? [read.testCase] : []));
  const names = new Set(cases.filter(({ snapshot }) => snapshot).map(({ name }) => name));
  // Of a broken case nobody knows whether it has one.
  const isWhole = cases.length === reads.length;
  return { kept, isWanted: (name) => !isWhole || names.has(name), compiled };
}

/** Snapshots of prompts whose files are gone. What cannot be looked at is not gone. */
async function orphans(
  { prompts, refused, ignored }: Folder,
  folder: SnapshotFolder,
  { naming, isSelected }: TestOptions,
): Promise<Settled[]> {
  const paths = [...prompts, ...refused, ...ignored].map(({ path }) => path);
  const isThere = (stem: string) =>
    paths.some((path) => stem === withoutEnding(path) || stem.startsWith(`${path}/`));
  const stems = (await folder.stems()).filter(
    (stem) => !isThere(stem) && isSelected(naming.nameOf(`${stem}.md`)),
  );
  const kept = await Promise.all(stems.map((stem) => folder.kept(stem)));
  return kept.map((each) => ({ kept: each, isWanted: () => false, compiled: new Map() }));
}
