/** What a command sees of the world around it. */
export interface Terminal {
  env: Record<string, string | undefined>;
  stdin: AsyncIterable<Uint8Array>;
  /**
   * For results. A person's terminal is shown control characters spelled out, and colours
   * unless NO_COLOR is set; a program gets every byte.
   */
  out(text: string, colour?: Colour): void;
  /** Whether the reader of the results is gone: one such as `head` may have seen enough. */
  readonly outClosed: boolean;
  /** For diagnostics. */
  err(text: string): void;
  /**
   * For how far something has come, in place of what was shown before: a person sees it,
   * until there is nothing more to show.
   */
  progress(text: string): void;
  /** Whether a person is watching the diagnostics. */
  watched: boolean;
}

/** As terminals number them. */
const COLOURS = { red: 31, green: 32, cyan: 36 } as const;

export type Colour = keyof typeof COLOURS;

export function processTerminal(process: NodeJS.Process): Terminal {
  let outClosed = false;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // How the command ends is still its own.
    if (error.code !== "EPIPE") throw error;
    outClosed = true;
  });
  const plain = Boolean(process.env.NO_COLOR);
  const writer = (stream: NodeJS.WriteStream) => (text: string, colour?: Colour) => {
    const shown = stream.isTTY ? spelledOut(text) : text;
    stream.write(stream.isTTY && colour && !plain ? coloured(shown, colour) : shown);
  };
  return {
    env: process.env,
    stdin: process.stdin,
    out: writer(process.stdout),
    get outClosed() {
      return outClosed;
    },
    err: writer(process.stderr),
    progress(text) {
      const { stderr } = process;
      if (stderr.isTTY) stderr.write(`\r\u001b[K${spelledOut(text)}`);
    },
    watched: process.stderr.isTTY === true,
  };
}

/** Line by line, so that no line break is a part of it. */
function coloured(text: string, colour: Colour): string {
  return text.replace(/[^\n]+/g, (line) => `\u001b[${COLOURS[colour]}m${line}\u001b[0m`);
}

/** Templates hold what their authors like, such as sequences that clear a screen or fill a clipboard. */
export function spelledOut(text: string): string {
  return text.replace(
    /(?![\n\t])\p{Cc}/gu,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
