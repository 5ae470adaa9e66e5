import { importMetadata as takeMetadata } from "../sync/import-metadata.ts";
import { jsonDocument, table } from "./output.ts";
import { type SyncOptions, withSync } from "./sync.ts";
import type { Terminal } from "./terminal.ts";

/** `promptd sync import-metadata` */
export async function importMetadata(
  terminal: Terminal,
  from: string,
  options: SyncOptions & { force?: boolean },
): Promise<void> {
  const { force = false, label } = options;
  const imported = await withSync(terminal, options, ({ project, remote }) =>
    takeMetadata({
      folder: project.folder,
      remote,
      from,
      force,
      ...(label !== undefined && { label }),
    }),
  );
  if (options.json) {
    terminal.out(jsonDocument(imported));
    return;
  }
  const { taken, unproved, passedOver } = imported;
  const rows = [
    ...unproved.map(({ name, why }) => ["unproved", name, why]),
    ...passedOver.map(({ name, why }) => ["passed over", name, why]),
  ];
  if (rows.length > 0) terminal.out(`${table(["OUTCOME", "PROMPT", "WHY"], rows)}\n`);
  terminal.out(
    `taken ${taken.length}, unproved ${unproved.length}, passed over ${passedOver.length}\n`,
  );
}
