import { type Command, Option } from "commander";
import type { Lazily } from "./action.ts";
import { duration, repeatable, wholeNumber, withServiceOptions } from "./options.ts";

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

  program
    .command("test")
    .summary("run the test cases of prompt files")
    .description(
      "Compiles the cases under the key tests of each file and compares what comes of them, without a service. Models are asked with --answers only, at OPENAI_BASE_URL with OPENAI_API_KEY. Exits with 1 where a case fails.",
    )
    .argument("[names...]", "prompts; * stands for any text (default: all)")
    .option("--dir <dir>", "the folder, or that of promptd.yaml (default: what promptd.yaml names)")
    .option("--update", "keep what is compiled as the snapshots, and remove those of no case")
    .option("--answers", "ask models, and match what they answer")
    .option("--model <model>", "which one (default: test.model in promptd.yaml, or the config's)")
    .addOption(
      new Option("--timeout <duration>", "how long one call of a model may take")
        .default(60_000, "1m")
        .argParser(duration),
    )
    .addOption(
      new Option("--concurrency <number>", "how many cases run at a time")
        .default(4)
        .argParser(wholeNumber(1, 100)),
    )
    .option("--json", "print one JSON document, for programs")
    .addOption(new Option("--github", "print annotations, for GitHub Actions").conflicts("json"))
    .action(lazily(async () => (await import("./test.ts")).test));
}
