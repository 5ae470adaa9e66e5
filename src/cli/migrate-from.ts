import { PromptdError } from "../core/errors.ts";
import type { Project } from "../files/project.ts";
import { Adoptions } from "../store/adoptions.ts";
import { Registry } from "../store/registry.ts";
import { selects } from "../sync/selection.ts";
import { Migration, type MigrationReport } from "./migration.ts";
import type { ServiceOptions } from "./options.ts";
import { jsonDocument, table } from "./output.ts";
import type { SettingOptions } from "./setting-options.ts";
import { commaSeparated, openRemote } from "./sync.ts";
import type { Terminal } from "./terminal.ts";
import { commandLine, withMigratedDatabase } from "./with-database.ts";

type MigrateFromOptions = ServiceOptions &
  SettingOptions & {
    project: string;
    /** Each may hold several between commas. */
    names?: string[];
    dryRun?: boolean;
  };

/** `promptd migrate-from` */
export async function migrateFrom(
  terminal: Terminal,
  kind: Project["remote"],
  options: MigrateFromOptions,
): Promise<void> {
  const names = (options.names ?? []).flatMap(commaSeparated);
  const remote = await openRemote(terminal, options, kind);
  const report = await withMigratedDatabase(terminal, options, (database) =>
    new Migration({
      remote,
      registry: new Registry(database),
      adoptions: new Adoptions(database),
      caller: commandLine(options.project),
      selects: selects(names),
      dryRun: options.dryRun === true,
      onProgress: (text) => terminal.progress(text),
    }).run(),
  ).finally(() => {
    terminal.progress("");
    remote.close();
  });
  const { stopped, ...told } = report;
  terminal.out(options.json ? jsonDocument(told) : reportText(report));
  throwUnlessWhole(report);
}

/** @throws what it was stopped by, refused */
function throwUnlessWhole({ stopped, left, dryRun }: MigrationReport): void {
  if (stopped !== undefined) {
    const message = `${stopped.message}; the rest was not tried: run it again, what was done stays`;
    throw new PromptdError(stopped.code, message, { cause: stopped });
  }
  if (left.length === 0) return;
  const what = dryRun ? "would not be carried over" : "could not be carried over";
  throw new PromptdError("refused", `${left.length} things ${what}`);
}

function reportText({ source, project, dryRun, prompts, versions, left }: MigrationReport): string {
  const rows = left.map(({ name, version, what, why }) => [
    name,
    version === undefined ? "" : String(version),
    what,
    why,
  ]);
  const { there, copied, here } = versions;
  const did = dryRun ? "to copy" : "copied";
  return [
    `${source} to project ${project}\n\n`,
    rows.length > 0 ? `${table(["PROMPT", "VERSION", "LEFT", ""], rows)}\n` : "",
    `prompts ${prompts}, versions ${there}, ${did} ${copied}, here before ${here}, left ${left.length}\n`,
  ].join("");
}
