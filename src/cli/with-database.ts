import { userInfo } from "node:os";
import type { Caller } from "../core/ports.ts";
import { databaseUrl } from "../runtime.ts";
import type { Database } from "../store/database.ts";
import { openDatabase } from "../store/open.ts";
import { type SettingOptions, settingsOf } from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";

/** Opens the database that the settings name, does the work, and closes it. */
export async function withDatabase<Result>(
  terminal: Terminal,
  options: SettingOptions,
  work: (database: Database) => Promise<Result>,
): Promise<Result> {
  const database = await openDatabase(databaseUrl(settingsOf(terminal, options)));
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** As `withDatabase`, with a database that is brought to this program's schema first. */
export function withMigratedDatabase<Result>(
  terminal: Terminal,
  options: SettingOptions,
  work: (database: Database) => Promise<Result>,
): Promise<Result> {
  return withDatabase(terminal, options, async (database) => {
    await database.migrate();
    return work(database);
  });
}

/** Who acts on a project where a command opens the database. */
export function commandLine(project: string): Caller {
  return { project, actor: "command line", origin: `command line of ${userName()}` };
}

/** A user whom the system runs without an account, as in a container, has a number only. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${process.getuid?.()}`;
  }
}
