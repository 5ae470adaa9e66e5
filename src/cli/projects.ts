import { databaseUrl } from "../runtime.ts";
import { openDatabase } from "../store/open.ts";
import { Projects } from "../store/projects.ts";
import { jsonDocument, table } from "./output.ts";
import { type SettingOptions, settingsOf } from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";

/** `promptd projects create` */
export async function createProject(
  terminal: Terminal,
  id: string,
  options: SettingOptions,
): Promise<void> {
  const project = await withProjects(terminal, options, (projects) => projects.create(id));
  terminal.out(options.json === true ? jsonDocument(project) : `project ${id} created\n`);
}

/** `promptd projects list` */
export async function listProjects(terminal: Terminal, options: SettingOptions): Promise<void> {
  const all = await withProjects(terminal, options, (projects) => projects.list());
  if (options.json === true) {
    terminal.out(jsonDocument(all));
    return;
  }
  const rows = all.map(({ id, createdAt }) => [id, createdAt.toISOString()]);
  terminal.out(table(["PROJECT", "CREATED"], rows));
}

async function withProjects<Result>(
  terminal: Terminal,
  options: SettingOptions,
  work: (projects: Projects) => Promise<Result>,
): Promise<Result> {
  const database = await openDatabase(databaseUrl(settingsOf(terminal, options)));
  try {
    await database.migrate();
    return await work(new Projects(database));
  } finally {
    await database.close();
  }
}
