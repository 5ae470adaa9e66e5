import { join } from "node:path";
import { readConfigSchema } from "../check/config-schema.ts";
import type { Fault } from "../check/fault.ts";
import { type CheckReport, checkFolder } from "../check/folder.ts";
import { sarifOf } from "../check/sarif.ts";
import { PromptdError } from "../core/errors.ts";
import { loadProject } from "../files/project.ts";
import { packageVersion } from "../version.ts";
import { annotation, shownPath } from "./annotation.ts";
import { jsonDocument, oneLine } from "./output.ts";
import type { Terminal } from "./terminal.ts";

interface ValidateOptions {
  configSchema?: string;
  strict?: boolean;
  json?: boolean;
  sarif?: boolean;
  github?: boolean;
}

/** `promptd validate` */
export async function validate(
  terminal: Terminal,
  dir: string | undefined,
  options: ValidateOptions,
): Promise<void> {
  const { folder, naming, validate } = await loadProject(dir);
  const schema = options.configSchema ?? validate.configSchema;
  const report = await checkFolder(folder, {
    naming,
    ...(schema !== undefined && { checkConfig: await readConfigSchema(schema) }),
    ...(validate.maxTokens !== undefined && { maxTokens: validate.maxTokens }),
  });
  const pathOf = ({ file }: Fault) => shownPath(join(folder, file));
  if (options.json) {
    const faults = report.faults.map((fault) => ({ ...fault, file: pathOf(fault) }));
    terminal.out(jsonDocument({ files: report.files, ...countsOf(report), faults }));
  } else if (options.sarif) {
    terminal.out(jsonDocument(sarifOf(report.faults, pathOf, packageVersion())));
  } else if (options.github) {
    for (const fault of report.faults) {
      terminal.out(annotation({ ...fault, file: pathOf(fault), title: fault.rule }));
    }
    terminal.out(`${summary(report)}\n`);
  } else {
    tell(terminal, report, pathOf);
  }
  throwIfWrong(report, options.strict === true);
}

function countsOf({ faults }: CheckReport): { errors: number; warnings: number } {
  const errors = faults.filter(({ severity }) => severity === "error").length;
  return { errors, warnings: faults.length - errors };
}

function summary(report: CheckReport): string {
  const { errors, warnings } = countsOf(report);
  return `files ${report.files}, errors ${errors}, warnings ${warnings}`;
}

/** @throws refused */
function throwIfWrong(report: CheckReport, strict: boolean): void {
  const { errors, warnings } = countsOf(report);
  if (errors > 0) throw new PromptdError("refused", `the folder of prompts has errors: ${errors}`);
  if (strict && warnings > 0) {
    throw new PromptdError("refused", `--strict lets no warning pass: ${warnings}`);
  }
}

/** The faults of each file under its name. */
function tell(terminal: Terminal, report: CheckReport, pathOf: (fault: Fault) => string): void {
  const { faults } = report;
  const widest = (cell: (fault: Fault) => string) =>
    faults.reduce((width, fault) => Math.max(width, cell(fault).length), 0);
  const [placeWidth, ruleWidth] = [widest(placeText), widest(({ rule }) => rule)];
  let file: string | undefined;
  for (const fault of faults) {
    if (fault.file !== file) terminal.out(`${oneLine(pathOf(fault))}\n`, "cyan");
    file = fault.file;
    const cells = [placeText(fault).padStart(placeWidth), fault.severity.padEnd("warning".length)];
    const text = `  ${[...cells, fault.rule.padEnd(ruleWidth)].join("  ")}  ${oneLine(fault.message)}\n`;
    terminal.out(text, fault.severity === "error" ? "red" : undefined);
  }
  terminal.out(`${faults.length > 0 ? "\n" : ""}${summary(report)}\n`);
}

function placeText({ line, column }: Fault): string {
  return column === undefined ? String(line) : `${line}:${column}`;
}
