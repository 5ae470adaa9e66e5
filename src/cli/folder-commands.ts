import type { Command } from "commander";
import type { Lazily } from "./action.ts";
import { repeatable, withServiceOptions } from "./options.ts";

/** The commands between a registry and a folder of prompt files. */
export function addFolderCommands(program: Command, lazily: Lazily): void {
  const importing = program
    .command("import")
    .summary("create versions from a folder of prompt files")
    .description(
      "Creates a version of each prompt whose newest version differs from its file, and changes nothing else. A file that is refused stops no other. Safe to repeat.",
    )
    .argument("<dir>", "the folder")
    .option(
      "--label <label>",
      "for new versions whose file names no labels (default: production); repeatable",
      repeatable(String),
    )
    .option("--no-label", "none for new versions whose file names no labels");
  withServiceOptions(importing).action(
    lazily(async () => (await import("./import.ts")).importPrompts),
  );

  const exporting = program
    .command("export")
    .summary("write prompts into a folder of prompt files")
    .description(
      "Writes the version of each prompt that a label points at into a file, from which import makes the same version again. A file that says something else is left as it is.",
    )
    .argument("<dir>", "the folder; created when missing")
    .option("--label <label>", "which versions", "production")
    .option("--folder <folder>", "only prompts in this folder and the folders below")
    .option("--force", "replace files that say something else");
  withServiceOptions(exporting).action(
    lazily(async () => (await import("./export.ts")).exportFolder),
  );
}
