import type { Command } from "commander";
import type { Lazily } from "./action.ts";
import { DATABASE, withSettingOptions } from "./setting-options.ts";

/** The commands that run a service, or work on its database without one. */
export function addServerCommands(program: Command, lazily: Lazily): void {
  const serve = program
    .command("serve")
    .summary("run the service")
    .description(
      "Runs the service until SIGTERM or SIGINT. It then finishes the calls in flight; a second signal ends it at once.",
    );
  withSettingOptions(serve).action(lazily(async () => (await import("./serve.ts")).serve));

  const config = program
    .command("config")
    .summary("print the effective settings")
    .description(
      "Prints the settings that serve would run with, and where each is from. Secrets are masked.",
    )
    .option("--json", "print one JSON document, for programs");
  withSettingOptions(config).action(lazily(async () => (await import("./config.ts")).config));

  const migrate = program
    .command("migrate")
    .summary("bring the database to this program's schema")
    .description("Runs the pending migrations. serve does so too when it starts.");
  withSettingOptions(migrate, DATABASE).action(
    lazily(async () => (await import("./database.ts")).migrate),
  );

  const backup = program
    .command("backup")
    .summary("copy the SQLite database to a file")
    .description(
      "Copies the SQLite database, as it is at one moment, to a new file. The service may go on running.",
    )
    .argument("<file>", "the copy; must not exist yet");
  withSettingOptions(backup, DATABASE).action(
    lazily(async () => (await import("./database.ts")).backupTo),
  );

  const restore = program
    .command("restore")
    .summary("replace the SQLite database by a copy")
    .description(
      "Puts what a copy holds in the place of everything that the SQLite database holds. The service may go on running. Keys that were revoked, and secrets that were replaced, since the copy was made are good again: revoke them anew.",
    )
    .argument("<file>", "a file that backup wrote");
  withSettingOptions(restore, DATABASE).action(
    lazily(async () => (await import("./database.ts")).restoreFrom),
  );
}
