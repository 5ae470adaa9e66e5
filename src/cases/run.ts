/** Runs one test case. */

import { PromptdError } from "../core/errors.ts";
import type { JsonValue, PromptBody } from "../core/prompt.ts";
import type { Compiled } from "../core/template/compile.ts";
import type { ReadCase, TestCase } from "../files/test-case.ts";
import { type Bodies, compileCase } from "./compiled.ts";
import { differences, failedMatchers, snapshotOf } from "./expectation.ts";
import { shown } from "./matcher.ts";
import type { Answer, CaseResult, Failure } from "./report.ts";
import type { KeptSnapshots, Snapshot } from "./snapshots.ts";

/** Asks a model. @throws PromptdError with why there is no answer */
export type Ask = (compiled: Compiled, config: JsonValue) => Promise<Answer>;

/** A prompt of the folder, and what its file asks of it. */
export interface PromptCases {
  path: string;
  name: string;
  body: PromptBody;
  reads: readonly ReadCase[];
  kept: KeptSnapshots;
  /** What came of the cases that have a snapshot, where snapshots are to be updated. */
  compiled: Map<string, Snapshot>;
}

interface RunOptions {
  update: boolean;
  ask?: Ask;
}

export async function runCase(
  prompt: PromptCases,
  read: ReadCase,
  others: Bodies,
  options: RunOptions,
): Promise<CaseResult> {
  const told = { file: prompt.path, prompt: prompt.name, name: read.title };
  if ("problem" in read) {
    const { line } = read.place;
    return { ...told, line, failures: [{ line, message: read.problem }] };
  }
  const { line } = read.placeOf();
  const { testCase, placeOf } = read;
  const compiled = await compileOrTell(prompt, testCase, others);
  if ("problem" in compiled) {
    return { ...told, line, failures: refusal(compiled.problem, testCase, placeOf) };
  }
  const failures = [
    ...wrongOutput(compiled, testCase, placeOf),
    ...(testCase.snapshot ? againstSnapshot(compiled, prompt, read, options) : []),
  ];
  const asked = testCase.answer && (await askModel(prompt, testCase, compiled, placeOf, options));
  return { ...told, line, failures: [...failures, ...(asked?.failures ?? [])], ...asked?.told };
}

async function compileOrTell(
  { name, body }: PromptCases,
  testCase: TestCase,
  others: Bodies,
): Promise<Compiled | { problem: string }> {
  try {
    return await compileCase(name, body, testCase, others);
  } catch (thrown) {
    if (thrown instanceof PromptdError) return { problem: thrown.message };
    throw thrown;
  }
}

function refusal(problem: string, { error }: TestCase, placeOf: ReadCase["placeOf"]): Failure[] {
  if (error === undefined) {
    return [{ line: placeOf().line, message: `does not compile: ${problem}` }];
  }
  if (problem.includes(error)) return [];
  const message = `error: expected ${shown(error)}, found ${shown(problem)}`;
  return [{ line: placeOf("error").line, message }];
}

function wrongOutput(
  compiled: Compiled,
  { expect, error }: TestCase,
  placeOf: ReadCase["placeOf"],
): Failure[] {
  if (error !== undefined) {
    const message = `error: expected ${shown(error)}, and it compiles`;
    return [{ line: placeOf("error").line, message }];
  }
  if (expect === undefined) return [];
  if (isWhole(expect)) return differences(expect, compiled, "expect", placeOf("expect").line);
  return failedMatchers(expect, compiled, "expect", placeOf);
}

function isWhole(expect: NonNullable<TestCase["expect"]>): expect is Snapshot {
  return typeof expect === "string" || expect.some((item) => "role" in item);
}

function againstSnapshot(
  compiled: Compiled,
  { kept, compiled: updated }: PromptCases,
  { title, placeOf }: ReadCase,
  { update }: RunOptions,
): Failure[] {
  const found = snapshotOf(compiled);
  if (update) {
    updated.set(title, found);
    return [];
  }
  const { line } = placeOf("snapshot");
  const snapshot = kept.snapshots.get(title);
  if (snapshot !== undefined) return differences(snapshot, compiled, "snapshot", line);
  const why = kept.problem ?? "there is none";
  return [{ line, message: `snapshot: ${why}; --update writes it` }];
}

/** An answer that fails is told of all the same: it was paid for. */
async function askModel(
  { body }: PromptCases,
  { answer: matchers = [] }: TestCase,
  compiled: Compiled,
  placeOf: ReadCase["placeOf"],
  { ask }: RunOptions,
): Promise<{ failures: Failure[]; told: Pick<CaseResult, "answer" | "notAsked"> }> {
  if (ask === undefined) return { failures: [], told: { notAsked: true } };
  try {
    const answer = await ask(compiled, body.config);
    const found: Compiled = { type: "text", text: answer.text };
    return { failures: failedMatchers(matchers, found, "answer", placeOf), told: { answer } };
  } catch (thrown) {
    if (!(thrown instanceof PromptdError)) throw thrown;
    const failure = { line: placeOf("answer").line, message: `answer: ${thrown.message}` };
    return { failures: [failure], told: {} };
  }
}
