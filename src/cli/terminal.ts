/** What a command sees of the world around it. */
export interface Terminal {
  env: Record<string, string | undefined>;
  stdin: AsyncIterable<Uint8Array>;
  /** For results. A person's terminal is shown control characters spelled out, a program gets every byte. */
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
  const writer = (stream: NodeJS.WriteStream) => (text: string) => {
    stream.write(stream.isTTY ? spelledOut(text) : text);
  };
  return {
    env: process.env,
    stdin: process.stdin,
    out: writer(process.stdout),
    get outClosed() {
      return outClosed;
    },
    err: writer(process.stderr),
    watched: process.stderr.isTTY === true,
  };
}

/** Templates hold what their authors like, such as sequences that clear a screen or fill a clipboard. */
function spelledOut(text: string): string {
  return text.replace(
    /(?![\n\t])\p{Cc}/gu,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
