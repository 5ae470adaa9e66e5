/** The reference of the command line, made from the commander program. */

import { Command, type Option } from "commander";
import { EXIT, EXIT_MEANING } from "../src/cli/exit.ts";
import { withServiceOptions } from "../src/cli/options.ts";
import { buildProgram } from "../src/cli/program.ts";
import { flagName, SETTINGS } from "../src/settings.ts";

const SETTING_FLAGS = new Set(Object.values(SETTINGS).map(({ env }) => `--${flagName(env)}`));

/** Options of every command that calls a service, told once for all. */
const SERVICE_OPTIONS = withServiceOptions(new Command()).options;

/** The page `docs/cli.md`, without the notice above it. */
export function cliReference(): string {
  const program = buildProgram({
    env: {},
    stdin: (async function* () {})(),
    out: () => {},
    outClosed: false,
    err: () => {},
    progress: () => {},
    watched: false,
  });
  const commands = leaves(program);
  const contents = commands.map(({ path, command }) => {
    const anchor = path.replaceAll(" ", "-");
    return `| [\`${path}\`](#${anchor}) | ${command.summary()} |`;
  });
  const help = program.createHelp();
  const sharedRows = SERVICE_OPTIONS.map((option) =>
    row(help.optionTerm(option), help.optionDescription(option)),
  );
  const exitCodes = Object.entries(EXIT).map(
    ([name, code]) => `| ${code} | ${EXIT_MEANING[name as keyof typeof EXIT]} |`,
  );
  return `# The command line

\`serve\`, \`config\`, \`migrate\`, \`backup\` and \`restore\` work on this machine; every other command calls a
running service over gRPC, and \`sync\` also what it is told to sync with.

Results go to standard output, diagnostics to standard error: \`promptd get NAME > file\` writes the
template and nothing else. With \`--json\` the result is one JSON document, for messages of the contract
in [Protobuf's JSON](https://protobuf.dev/programming-guides/json/). An error is a line
\`promptd: …\`, and where several fields are wrong, a line for each.

| command | |
|---|---|
${contents.join("\n")}

A command that calls a service also takes:

| | |
|---|---|
${sharedRows.join("\n")}

## Exit codes

| code | meaning |
|---|---|
${exitCodes.join("\n")}

${commands.map(section).join("\n\n")}
`;
}

interface Leaf {
  /** As typed behind the program's name: `label set`. */
  path: string;
  command: Command;
}

/** The commands that do something, in the order in which help lists them. */
function leaves(parent: Command, prefix = ""): Leaf[] {
  return parent.commands.flatMap((command) => {
    const path = `${prefix}${command.name()}`;
    const below = leaves(command, `${path} `);
    // A command such as changes has commands below it, and does something itself.
    const acts = below.length === 0 || command.registeredArguments.length > 0;
    return acts ? [{ path, command }, ...below] : below;
  });
}

function section({ path, command }: Leaf): string {
  const help = command.createHelp();
  const argumentRows = help.visibleArguments(command).map((argument) => {
    const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
    const term = argument.required ? `<${name}>` : `[${name}]`;
    return row(term, help.argumentDescription(argument));
  });
  const own = help.visibleOptions(command).filter((option) => !isToldElsewhere(option, command));
  const optionRows = own.map((option) =>
    row(help.optionTerm(option), help.optionDescription(option)),
  );
  const rows = [...argumentRows, ...optionRows];
  return [
    `## ${path}`,
    `    ${help.commandUsage(command)}`,
    command.description(),
    ...(rows.length > 0 ? [`| | |\n|---|---|\n${rows.join("\n")}`] : []),
    ...settingsSentence(command),
  ].join("\n\n");
}

function isToldElsewhere({ long }: Option, command: Command): boolean {
  if (long === "--help" || SETTING_FLAGS.has(long ?? "")) return true;
  const callsService = command.options.some((option) => option.long === "--address");
  return callsService && SERVICE_OPTIONS.some((option) => option.long === long);
}

function row(term: string, text: string): string {
  return `| \`${term}\` | ${text.replaceAll("|", "\\|")} |`;
}

function settingsSentence(command: Command): string[] {
  const settings = command.options.flatMap(({ long }) =>
    SETTING_FLAGS.has(long ?? "") ? [long] : [],
  );
  if (settings.length === 0) return [];
  if (settings.length === SETTING_FLAGS.size) {
    return ["Every [setting](configuration.md) is a flag of it."];
  }
  const flags = settings.map((flag) => `\`${flag}\``).join(" and ");
  return [`Takes the [settings](configuration.md) ${flags}.`];
}
