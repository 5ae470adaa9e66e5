import type { PromptdError } from "../core/errors.ts";
import { oneLine } from "./output.ts";
import { withSync } from "./sync.ts";
import { type RunCommandOptions, runOptionsOf, runText } from "./sync-run.ts";
import type { Terminal } from "./terminal.ts";

/**
 * `promptd sync watch`: pulls until it is interrupted or nobody reads on. What fails at
 * the first attempt ends it; later it is told, and tried again.
 */
export async function watch(
  terminal: Terminal,
  names: string[],
  options: RunCommandOptions & { interval?: number },
): Promise<void> {
  const stop = new AbortController();
  let first = true;
  await withSync(terminal, options, async ({ sync }) => {
    const { interval } = options;
    const rounds = sync.watch({
      ...runOptionsOf(names, options),
      ...(interval !== undefined && { intervalMs: interval }),
      signal: stop.signal,
    });
    for await (const round of rounds) {
      terminal.progress("");
      if ("error" in round) {
        if (first) throw round.error;
        tellError(terminal, round.error);
      } else {
        const { report } = round;
        const said = report.items.some(({ outcome }) => outcome !== "keep");
        if (options.json) terminal.out(`${JSON.stringify(report)}\n`);
        else if (first || said) terminal.out(runText(report));
      }
      first = false;
      if (terminal.outClosed) return;
    }
  }).finally(() => stop.abort());
}

function tellError(terminal: Terminal, { message }: PromptdError): void {
  terminal.err(`promptd: ${oneLine(message)}; trying again\n`);
}
