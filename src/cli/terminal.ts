/** What a command sees of the world around it. */
export interface Terminal {
  env: Record<string, string | undefined>;
  stdin: AsyncIterable<Uint8Array>;
  /** For results. */
  out(text: string): void;
  /** For diagnostics. */
  err(text: string): void;
  /** Whether a person is watching the diagnostics. */
  watched: boolean;
}

export function processTerminal(process: NodeJS.Process): Terminal {
  return {
    env: process.env,
    stdin: process.stdin,
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    watched: process.stderr.isTTY === true,
  };
}
