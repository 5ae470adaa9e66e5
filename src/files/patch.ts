/** Two texts that differ, as people read it. */

import { FILE_HEADERS_ONLY, formatPatch, type StructuredPatch, structuredPatch } from "diff";

/** Texts that differ in more lines are shown one after the other: comparing takes the square of it. */
const MAX_EDITS = 2000;

/** What turns one text into the other, as `diff -u` shows it. @param titles of both, in its head */
export function patchText(
  titles: readonly [string, string],
  texts: readonly [string, string],
): string {
  const how = { context: 3, maxEditLength: MAX_EDITS };
  const patch = structuredPatch(...titles, ...texts, "", "", how) ?? replacement(titles, texts);
  return formatPatch(patch, FILE_HEADERS_ONLY);
}

/** All lines of one text instead of all those of the other. */
function replacement(
  [oldFileName, newFileName]: readonly [string, string],
  [before, after]: readonly [string, string],
): StructuredPatch {
  const [removed, added] = [linesOf(before), linesOf(after)];
  const lines = [...marked("-", removed), ...marked("+", added)];
  const counts = { oldLines: removed.length, newLines: added.length };
  const hunks = [{ oldStart: 1, newStart: 1, ...counts, lines }];
  return { oldFileName, newFileName, oldHeader: "", newHeader: "", hunks };
}

/** With their ends. */
function linesOf(text: string): string[] {
  return text.match(/.*\n|.+/g) ?? [];
}

function marked(mark: "-" | "+", lines: readonly string[]): string[] {
  const ended = lines.at(-1)?.endsWith("\n") ?? true;
  const shown = lines.map((line) => mark + line.replace(/\n$/, ""));
  return ended ? shown : [...shown, "\\ No newline at end of file"];
}
