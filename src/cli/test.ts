import { join } from "node:path";
import { testFolder } from "../cases/folder.ts";
import type { Answer, CaseResult, TestReport } from "../cases/report.ts";
import type { Ask } from "../cases/run.ts";
import { PromptdError } from "../core/errors.ts";
import { loadProject, type Project } from "../files/project.ts";
import { selects } from "../sync/selection.ts";
import { annotation, shownPath } from "./annotation.ts";
import { WrongUsage } from "./exit.ts";
import { jsonDocument, oneLine } from "./output.ts";
import { tellPatch } from "./patch.ts";
import { spelledOut, type Terminal } from "./terminal.ts";

interface TestCommandOptions {
  dir?: string;
  update?: boolean;
  answers?: boolean;
  model?: string;
  /** Milliseconds. */
  timeout: number;
  concurrency: number;
  json?: boolean;
  github?: boolean;
}

/** `promptd test` */
export async function test(
  terminal: Terminal,
  names: string[],
  options: TestCommandOptions,
): Promise<void> {
  const { folder, naming, test } = await loadProject(options.dir);
  const report = await testFolder(folder, {
    naming,
    isSelected: selects(names),
    update: options.update === true,
    concurrency: options.concurrency,
    ...(options.answers && { ask: await modelOf(terminal, options, test) }),
    onProgress: (done, total) => terminal.progress(`${done} of ${total} cases`),
  }).finally(() => terminal.progress(""));
  if (report.files === 0 && names.length > 0) {
    throw new PromptdError(
      "not_found",
      `no prompt of ${folder} has such a name: ${names.join(", ")}`,
    );
  }
  const pathOf = (file: string) => shownPath(join(folder, file));
  if (options.json) terminal.out(jsonDocument(documentOf(report, pathOf)));
  else {
    tell(terminal, report, pathOf, options.github === true);
    terminal.out(`${summary(report)}\n`);
  }
  const failed = failedOf(report).length + report.unreadable.length;
  if (failed > 0) throw new PromptdError("refused", `test cases or files failed: ${failed}`);
}

/**
 * Where the key goes is for the environment alone to say: whoever edits a file of the repository
 * is not to send it elsewhere.
 *
 * @throws WrongUsage where it does not say
 */
async function modelOf(
  { env }: Terminal,
  options: TestCommandOptions,
  test: Project["test"],
): Promise<Ask> {
  const baseUrl = env.OPENAI_BASE_URL ?? "";
  const apiKey = env.OPENAI_API_KEY?.trim();
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (!url?.protocol.startsWith("http") || url.username !== "" || url.password !== "") {
    const description = "expected a URL such as https://api.openai.com/v1, for --answers";
    throw new WrongUsage(PromptdError.invalid({ field: "OPENAI_BASE_URL", description }));
  }
  const model = options.model ?? test.model;
  const { modelAt } = await import("../cases/model.ts");
  return modelAt({
    baseUrl,
    ...(apiKey && { apiKey }),
    ...(model !== undefined && { model }),
    prices: test.prices,
    timeout: options.timeout,
  });
}

function tell(
  terminal: Terminal,
  { cases, unreadable, snapshots }: TestReport,
  pathOf: (file: string) => string,
  isGithub: boolean,
): void {
  const wrong = (file: string, line: number, title: string, message: string) => {
    if (isGithub) {
      const place = { file: pathOf(file), line, title };
      terminal.out(annotation({ severity: "error", ...place, message }));
    } else {
      terminal.out(`${oneLine(`${pathOf(file)}:${line} ${title}: ${message}`)}\n`, "red");
    }
  };
  for (const { file, line, message } of unreadable) wrong(file, line, "unreadable", message);
  for (const { file, line, name, failures, answer } of cases) {
    if (answer) {
      terminal.out(`${oneLine(`${pathOf(file)}:${line} ${name}: ${answeredText(answer)}`)}\n`);
    }
    for (const { line, message, patch: exact } of failures) {
      // The log of a CI is shown in a terminal too, and its lines are read by runners.
      const patch = exact && spelledOut(exact);
      if (isGithub) {
        wrong(file, line, name, patch === undefined ? message : `${message}\n${patch.trimEnd()}`);
        continue;
      }
      wrong(file, line, name, message);
      if (patch !== undefined) tellPatch(terminal, patch);
    }
  }
  const what = snapshots.removed ? "removed" : "obsolete, --update removes it";
  for (const { file, name } of snapshots.obsolete) {
    terminal.out(`${oneLine(`${pathOf(file)} ${name}: ${what}`)}\n`);
  }
  if (cases.length + unreadable.length === 0)
    terminal.out("no file has test cases under the key tests\n");
}

function failedOf({ cases }: TestReport): CaseResult[] {
  return cases.filter(({ failures }) => failures.length > 0);
}

function countsOf(report: TestReport) {
  const failed = failedOf(report).length;
  const { length } = report.cases;
  return { files: report.files, cases: length, passed: length - failed, failed };
}

/** `files 2, cases 5, passed 5, failed 0, snapshots written 0`, and below what models took. */
function summary(report: TestReport): string {
  const { cases, unreadable, snapshots } = report;
  const notAsked = cases.filter((each) => each.notAsked).length;
  const counts = Object.entries({
    ...countsOf(report),
    "snapshots written": snapshots.written,
    ...(unreadable.length > 0 && { "unreadable files": unreadable.length }),
    ...(notAsked > 0 && { "answers not asked for": notAsked }),
  }).map(([what, count]) => `${what} ${count}`);
  const answers = cases.flatMap(({ answer }) => answer ?? []);
  const total = answers.length === 0 ? "" : `\nanswers ${answers.length}, ${usedText(answers)}`;
  return `${counts.join(", ")}${total}`;
}

function answeredText(answer: Answer): string {
  return `${answer.model} answered, ${usedText([answer])}`;
}

/** `120 tokens in, 40 out, 1.2 s, $0.000123`; of what not all tell nothing is added up. */
function usedText(answers: readonly Answer[]): string {
  const sum = (of: (answer: Answer) => number | undefined) =>
    answers.reduce<number | undefined>((total, each) => {
      const part = of(each);
      return total === undefined || part === undefined ? undefined : total + part;
    }, 0);
  const [input, output] = [sum((each) => each.inputTokens), sum((each) => each.outputTokens)];
  const cost = sum((each) => each.cost);
  return [
    input === undefined || output === undefined
      ? "tokens unknown"
      : `${input} tokens in, ${output} out`,
    `${((sum((each) => each.duration) ?? 0) / 1000).toFixed(1)} s`,
    cost === undefined ? "cost unknown" : `$${cost.toFixed(6)}`,
  ].join(", ");
}

function documentOf(report: TestReport, pathOf: (file: string) => string) {
  const { cases, unreadable, snapshots } = report;
  const placed = <Told extends { file: string }>(told: Told) => {
    return { ...told, file: pathOf(told.file) };
  };
  return {
    ...countsOf(report),
    unreadable: unreadable.map(placed),
    results: cases.map(placed),
    snapshots: { ...snapshots, obsolete: snapshots.obsolete.map(placed) },
  };
}
