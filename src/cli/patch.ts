import type { Colour, Terminal } from "./terminal.ts";

/** Line by line, in the colours that people know. */
export function tellPatch(terminal: Terminal, patch: string): void {
  for (const line of patch.split(/(?<=\n)/)) terminal.out(line, colourOf(line));
}

function colourOf(line: string): Colour | undefined {
  if (line.startsWith("@@")) return "cyan";
  if (line.startsWith("+")) return "green";
  return line.startsWith("-") ? "red" : undefined;
}
