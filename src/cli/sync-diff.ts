import type { DiffSide, PromptDiff } from "../sync/report.ts";
import { jsonDocument, oneLine } from "./output.ts";
import { tellPatch } from "./patch.ts";
import { type SelectionOptions, type SyncOptions, selectionOf, withSync, words } from "./sync.ts";
import type { Terminal } from "./terminal.ts";

/** `promptd sync diff` */
export async function diff(
  terminal: Terminal,
  names: string[],
  options: SyncOptions & SelectionOptions,
): Promise<void> {
  const diffs = await withSync(terminal, options, ({ sync }) =>
    sync.diff(selectionOf(names, options)),
  );
  if (options.json) {
    terminal.out(jsonDocument({ prompts: diffs }));
    return;
  }
  diffs.forEach((each, index) => {
    if (index > 0) terminal.out("\n");
    tell(terminal, each);
  });
}

function tell(terminal: Terminal, { name, state, why, local, remote, patches }: PromptDiff): void {
  const about = why === undefined ? "" : `: ${why}`;
  terminal.out(`${oneLine(`${name} (${words(state)})${about}`)}\n`, "cyan");
  for (const [where, side] of [
    ["here", local],
    ["there", remote],
  ] as const) {
    if (side?.labels?.length) terminal.out(`${where}: ${labelledText(side)}\n`);
  }
  for (const { text } of patches) tellPatch(terminal, text);
}

function labelledText({ version, labels = [] }: DiffSide): string {
  const numbered = version === undefined ? "" : `version ${version}, `;
  return oneLine(`${numbered}labels ${labels.join(", ")}`);
}
