import { type Command, Option } from "commander";
import type { Lazily } from "./action.ts";
import { repeatable, withServiceOptions } from "./options.ts";

/** The commands about a folder of prompt files. */
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

  program
    .command("validate")
    .summary("check a folder of prompt files")
    .description(
      "Checks the files of a folder without a service: templates, variables, configs, names, secrets, composition. Exits with 1 where there is an error.",
    )
    .argument("[dir]", "the folder, or that of promptd.yaml (default: what promptd.yaml names)")
    .option(
      "--config-schema <file>",
      "a JSON Schema that each config keeps (default: validate.config_schema in promptd.yaml)",
    )
    .option("--strict", "fail at warnings too")
    .option("--json", "print one JSON document, for programs")
    .addOption(new Option("--sarif", "print SARIF 2.1.0, for code hosts").conflicts("json"))
    .addOption(
      new Option("--github", "print annotations, for GitHub Actions").conflicts(["json", "sarif"]),
    )
    .action(lazily(async () => (await import("./validate.ts")).validate));
}
