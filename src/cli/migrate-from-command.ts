import { Argument, type Command } from "commander";
import { DEFAULT_PROJECT } from "../core/keys.ts";
import type { Lazily } from "./action.ts";
import { repeatable, withServiceOptions } from "./options.ts";
import { DATABASE, withSettingOptions } from "./setting-options.ts";

/** `promptd migrate-from` */
export function addMigrateFromCommand(program: Command, lazily: Lazily): void {
  const migrateFrom = program
    .command("migrate-from")
    .summary("copy all prompts of another place into the registry")
    .description(
      "Copies prompts into the registry, with the numbers, times, authors, commit messages, labels and tags of all their versions, reads them back and compares. It opens the database, so it needs no running service, and a running one heeds it within a second. What is here is never overwritten: run it again after an interruption, or for what has come since. Exits with 1 where something could not be carried over.",
    )
    .addArgument(
      new Argument("<source>", "a promptd, or what LANGFUSE_… or LANGSMITH_… name").choices([
        "langfuse",
        "langsmith",
        "promptd",
      ]),
    )
    .option("--project <project>", "the project to copy into", DEFAULT_PROJECT)
    .option(
      "--names <names>",
      "names or patterns such as support/*, between commas (default: all prompts)",
      repeatable(String),
    )
    .option("--dry-run", "tell what would be copied, and copy nothing");
  withSettingOptions(withServiceOptions(migrateFrom), DATABASE).action(
    lazily(async () => (await import("./migrate-from.ts")).migrateFrom),
  );
}
