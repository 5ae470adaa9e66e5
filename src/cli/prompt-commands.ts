import { type Command, Option } from "commander";
import type { Lazily } from "./action.ts";
import {
  changeKind,
  jsonVariable,
  KIND_WORDS,
  keyValue,
  repeatable,
  time,
  variable,
  versionNumber,
  wholeNumber,
  withSelectorOptions,
  withServiceOptions,
} from "./options.ts";
import { DATABASE, withSettingOptions } from "./setting-options.ts";

/** The commands that read prompts and add versions. */
export function addPromptCommands(program: Command, lazily: Lazily): void {
  const limit = (command: Command) =>
    command.option("--limit <count>", "at most so many (default: all)", wholeNumber(1));

  const get = program
    .command("get")
    .summary("print a template")
    .description(
      "Prints the template of a version exactly as it is, without a line break added. The messages of a chat stand under their roles.",
    )
    .argument("<name>", "the prompt");
  withSelectorOptions(get)
    .option("--user-id <id>", "who the prompt is for")
    .option("--raw", "leave composition tags as they were written");
  withServiceOptions(get).action(lazily(async () => (await import("./get.ts")).get));

  const watch = program
    .command("watch")
    .summary("print which version callers get, and each change of that")
    .description(
      "Prints a line for the version that callers get now, and another one whenever that has changed, until it is interrupted: the newest state, and not each step to it. A stream that breaks is taken up again. With --json, each line is a message of WatchPrompts.",
    )
    .argument("<name>", "the prompt");
  withServiceOptions(withSelectorOptions(watch)).action(
    lazily(async () => (await import("./watch.ts")).watch),
  );

  const compile = program
    .command("compile")
    .summary("fill in a template and print it")
    .description(
      "Fills in the template of a version and prints it, without a line break added. A variable given by --var or --var-json wins over one from a file.",
    )
    .argument("<name>", "the prompt");
  withSelectorOptions(compile)
    .option("--user-id <id>", "who the prompt is for")
    .option("--var <name=text>", "a variable; repeatable", repeatable(variable))
    .option("--var-json <name=json>", "a JSON variable; repeatable", repeatable(jsonVariable))
    .option(
      "--vars <file>",
      "JSON file with an object of variables; repeatable",
      repeatable(String),
    )
    .option(
      "--placeholder <name=file>",
      "JSON file with the messages for a placeholder, [{role, content}, …]; repeatable",
      repeatable(keyValue),
    )
    .addOption(
      new Option(
        "--missing <how>",
        "refuse a variable that is not given, keep its tag, or empty it",
      )
        .choices(["strict", "keep", "empty"])
        .default("strict"),
    );
  withServiceOptions(compile).action(lazily(async () => (await import("./compile.ts")).compile));

  const list = limit(program.command("list"))
    .summary("list prompts")
    .description("Lists prompts in order of name, with their newest version and their labels.")
    .option("--label <label>", "only prompts that have this label")
    .option("--tag <tag>", "only prompts that have this tag")
    .option("--folder <folder>", "only prompts in this folder and the folders below");
  withServiceOptions(list).action(lazily(async () => (await import("./list.ts")).list));

  const versions = limit(program.command("versions"))
    .summary("list the versions of a prompt")
    .description(
      "Lists the versions of a prompt, newest first, and how often callers got each. With --json, also by which label and arm.",
    )
    .argument("<name>", "the prompt");
  withServiceOptions(versions).action(lazily(async () => (await import("./list.ts")).versions));

  const create = program
    .command("create")
    .summary("add a version to a prompt")
    .description(
      "Adds a version from a file, and creates the prompt with its first. The file's ending tells how it is read (.md, .txt, .prompt, .json); what an option says wins over what the file says. Where the newest version has the same content, nothing is created, and labels and tags are put on that one.",
    )
    .argument("<name>", "the prompt")
    .argument("<file>", "the prompt file, or - for text from stdin")
    .option("--label <label>", "a label to put on the version; repeatable", repeatable(String))
    .option("--tag <tag>", "a tag, replacing those of the prompt; repeatable", repeatable(String))
    .option("--message <text>", "commit message")
    .addOption(
      new Option("--format <format>", "how variables are written").choices(["mustache", "fstring"]),
    )
    .option("--chat", 'read the text as a chat: a line {{role "user"}} starts a message')
    .option("--config <file>", "JSON file with the config")
    .option(
      "--expected-latest <version>",
      "refuse unless this is the newest version; 0: unless there is none",
      versionNumber(0),
    );
  withServiceOptions(create).action(lazily(async () => (await import("./create.ts")).create));

  const adopt = program
    .command("adopt")
    .summary("manage a prompt that stands in an application's code")
    .description(
      "Puts a label on the version that an application registered last, and takes the label tracking off, in one step: the application is then given what the label points at. Refused where the prompt is not tracked, or has the label already. `promptd label undo` takes it back.",
    )
    .argument("<name>", "the prompt")
    .option("--version <number>", "adopt this version instead", versionNumber())
    .option("--label <label>", "the label that the application asks for (default: production)")
    .option("--reason <text>", "why; kept in the history");
  withServiceOptions(adopt).action(lazily(async () => (await import("./adopt.ts")).adopt));

  const changes = program
    .command("changes")
    .summary("print the history")
    .description(
      "Prints what was changed, when, by whom, from where and why, newest first. Filters can be combined.",
    )
    .argument("[name]", "only changes of this prompt")
    .option("--after <revision>", "only changes with a higher revision", wholeNumber(0))
    .option("--actor <actor>", "only changes by this actor, such as the id of a key")
    .option(
      "--kind <kind>",
      `only changes of this kind; repeatable: ${KIND_WORDS}`,
      repeatable(changeKind),
    )
    .option(
      "--since <time>",
      "only changes made then or later, such as 2027-01-31 or 2027-01-31T12:00:00Z",
      time,
    )
    .option("--until <time>", "only changes made before", time)
    .option(
      "--limit <count>",
      "at most so many (default: 50, or all with --json-lines)",
      wholeNumber(1),
    )
    .addOption(
      new Option(
        "--json-lines",
        "print a JSON document a line for each change, as they come",
      ).conflicts("json"),
    );
  withServiceOptions(changes).action(lazily(async () => (await import("./changes.ts")).changes));

  const verify = changes
    .command("verify")
    .summary("find a change that was altered or taken out")
    .description(
      "Recomputes the hashes that chain the history. It opens the database itself. Note the last hash elsewhere: with it you can tell later that the history was not rewritten as a whole.",
    )
    .option("--json", "print one JSON document, for programs");
  withSettingOptions(verify, DATABASE).action(
    lazily(async () => (await import("./verify.ts")).verify),
  );
}
