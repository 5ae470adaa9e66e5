import { Command } from "commander";
import { packageVersion } from "../version.ts";
import type { Lazily } from "./action.ts";
import { addDeployCommand } from "./deploy-command.ts";
import { EXIT, report } from "./exit.ts";
import { addFolderCommands } from "./folder-commands.ts";
import { addKeyCommands } from "./key-commands.ts";
import { addLabelCommands } from "./label-commands.ts";
import { addMigrateFromCommand } from "./migrate-from-command.ts";
import { addPolicyCommands } from "./policy-commands.ts";
import { addProjectCommands } from "./project-commands.ts";
import { addPromptCommands } from "./prompt-commands.ts";
import { addRolloutCommands } from "./rollout-commands.ts";
import { addServerCommands } from "./server-commands.ts";
import { addSyncCommands } from "./sync-commands.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Runs one command line.
 *
 * @param args without the program's name
 * @returns the exit code
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await buildProgram(terminal).parseAsync(args, { from: "user" });
    return EXIT.ok;
  } catch (thrown) {
    return report(thrown, terminal);
  }
}

/** Every command with its arguments and options. */
export function buildProgram(terminal: Terminal): Command {
  const lazily: Lazily =
    (load) =>
    async (...args) => {
      const action = await load();
      await action(terminal, ...(args as never[]));
    };
  const program = new Command("promptd")
    .description("Which prompt does this user get now? A prompt registry over gRPC.")
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    // Lets commands have options of the same name, such as --version.
    .enablePositionalOptions()
    .showHelpAfterError("(--help tells the usage)")
    .configureOutput({
      writeOut: terminal.out,
      writeErr: terminal.err,
      outputError: (text, write) => write(text.replace(/^error: /, "promptd: ")),
    })
    .exitOverride();
  addServerCommands(program, lazily);
  addKeyCommands(program, lazily);
  addProjectCommands(program, lazily);
  addPromptCommands(program, lazily);
  addLabelCommands(program, lazily);
  addRolloutCommands(program, lazily);
  addPolicyCommands(program, lazily);
  addFolderCommands(program, lazily);
  addDeployCommand(program, lazily);
  addSyncCommands(program, lazily);
  addMigrateFromCommand(program, lazily);
  return program;
}
