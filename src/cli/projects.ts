import { Projects } from "../store/projects.ts";
import { jsonDocument, table } from "./output.ts";
import type { SettingOptions } from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";
import { commandLine, withMigratedDatabase } from "./with-database.ts";

/** `promptd projects create` */
export async function createProject(
  terminal: Terminal,
  id: string,
  options: SettingOptions,
): Promise<void> {
  const project = await withMigratedDatabase(terminal, options, (database) =>
    new Projects(database).create(commandLine(id), id),
  );
  terminal.out(options.json === true ? jsonDocument(project) : `project ${id} created\n`);
}

/** `promptd projects list` */
export async function listProjects(terminal: Terminal, options: SettingOptions): Promise<void> {
  const all = await withMigratedDatabase(terminal, options, (database) =>
    new Projects(database).list(),
  );
  if (options.json === true) {
    terminal.out(jsonDocument(all));
    return;
  }
  const rows = all.map(({ id, createdAt }) => [id, createdAt.toISOString()]);
  terminal.out(table(["PROJECT", "CREATED"], rows));
}
