import { run } from "../../src/cli/program.ts";

/** A command that goes on behind the test, until nobody reads on. */
export function watchingAt(
  address: string,
  args: readonly string[],
  env: Record<string, string> = {},
) {
  const lines: string[] = [];
  let waiting = () => {};
  let outClosed = false;
  let err = "";
  const ended = run(args, {
    env: { PROMPTD_ADDRESS: address, ...env },
    stdin: (async function* () {})(),
    out: (text) => {
      lines.push(...text.split("\n").filter(Boolean));
      waiting();
    },
    get outClosed() {
      return outClosed;
    },
    err: (text) => {
      err += text;
    },
    progress: () => {},
    watched: false,
  });
  return {
    ended: async () => ({ code: await ended, err }),
    /** The line with an index, once it is there. */
    async line(index: number): Promise<string> {
      while (lines.length <= index) {
        await new Promise<void>((resolve) => {
          waiting = resolve;
        });
      }
      return lines[index] as string;
    },
    close() {
      outClosed = true;
    },
  };
}
