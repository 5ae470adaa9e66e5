import type { Command } from "commander";
import { Option } from "commander";
import { DEFAULT_PROJECT, KEY_SCOPES } from "../core/keys.ts";
import type { Lazily } from "./action.ts";
import { repeatable, time } from "./options.ts";
import { DATABASE, withSettingOptions } from "./setting-options.ts";

/** `promptd keys …` */
export function addKeyCommands(program: Command, lazily: Lazily): void {
  const keys = program
    .command("keys")
    .summary("manage who may call")
    .description(
      "Manages keys. It opens the database, so it needs no running service, and a running one heeds it within a second.",
    );
  const on = (command: Command) =>
    withSettingOptions(
      command
        .option("--project <project>", "the project that the key is of", DEFAULT_PROJECT)
        .option("--json", "print one JSON document, for programs"),
      DATABASE,
    );
  const reason = (command: Command) =>
    command.option("--reason <text>", "why; kept in the history", "");

  const create = keys
    .command("create")
    .summary("make a key")
    .description(
      "Makes a key and prints its secret, which cannot be shown again. One for a certificate's subject has none.",
    )
    .argument("<name>", "what it is for")
    .addOption(
      new Option("--scope <scope>", `${KEY_SCOPES.join(", ")}; may be given several times`)
        .argParser(repeatable((text: string) => text))
        .makeOptionMandatory(),
    )
    .addOption(
      new Option(
        "--prompt <pattern>",
        "limits it to a prompt, or to names that begin so: support/*",
      )
        .argParser(repeatable((text: string) => text))
        .default([], "all prompts"),
    )
    .option("--expires <time>", "when it ends, such as 2027-01-31 or 2027-01-31T12:00:00Z", time)
    .option(
      "--certificate-subject <subject>",
      "in place of a secret, client certificates of this subject: CN=checkout,O=Acme",
    );
  on(create).action(lazily(async () => (await import("./keys.ts")).createKey));

  const list = keys
    .command("list")
    .summary("list keys")
    .description("Lists the keys of a project, revoked and expired ones too.");
  on(list).action(lazily(async () => (await import("./keys.ts")).listKeys));

  const revoke = keys
    .command("revoke")
    .summary("refuse a key from now on")
    .description("Refuses a key from now on. It stays revoked.")
    .argument("<id>", "the key");
  on(reason(revoke)).action(lazily(async () => (await import("./keys.ts")).revokeKey));

  const rotate = keys
    .command("rotate")
    .summary("give a key another secret")
    .description("Gives a key another secret and prints it. The old one is refused from now on.")
    .argument("<id>", "the key");
  on(reason(rotate)).action(lazily(async () => (await import("./keys.ts")).rotateKey));
}
