/** What a command sees of the world around it. */
export interface Terminal {
  env: Record<string, string | undefined>;
  stdin: AsyncIterable<Uint8Array>;
  /** For results. */
  out(text: string): void;
  /** Whether the reader of the results is gone: one such as `head` may have seen enough. */
  readonly outClosed: boolean;
  /** For diagnostics. */
  err(text: string): void;
  /** Whether a person is watching the diagnostics. */
  watched: boolean;
}

export function processTerminal(process: NodeJS.Process): Terminal {
  let outClosed = false;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // How the command ends is still its own.
    if (error.code !== "EPIPE") throw error;
    outClosed = true;
  });
  return {
    env: process.env,
    stdin: process.stdin,
    out: (text) => process.stdout.write(text),
    get outClosed() {
      return outClosed;
    },
    err: (text) => process.stderr.write(text),
    watched: process.stderr.isTTY === true,
  };
}
