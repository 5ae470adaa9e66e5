import type { Command } from "commander";
import type { Lazily } from "./action.ts";
import { DATABASE, withSettingOptions } from "./setting-options.ts";

/** `promptd projects …` */
export function addProjectCommands(program: Command, lazily: Lazily): void {
  const projects = program
    .command("projects")
    .summary("manage tenants")
    .description(
      "Manages projects: each has prompts, history and keys of its own. It opens the database, so it needs no running service.",
    );
  const on = (command: Command) =>
    withSettingOptions(command.option("--json", "print one JSON document, for programs"), DATABASE);

  const create = projects
    .command("create")
    .summary("make a project")
    .description("Makes an empty project.")
    .argument("<id>", "1 to 63 characters out of a-z 0-9 -");
  on(create).action(lazily(async () => (await import("./projects.ts")).createProject));

  const list = projects
    .command("list")
    .summary("list projects")
    .description("Lists the projects of the database.");
  on(list).action(lazily(async () => (await import("./projects.ts")).listProjects));
}
