import { Writable } from "node:stream";
import { expect, it } from "vitest";
import { oneLine } from "./output.ts";
import { type Colour, processTerminal } from "./terminal.ts";

interface WrittenOptions {
  colour?: Colour;
  env?: Record<string, string>;
  progress?: readonly string[];
}

/** What is written by a command whose output is a terminal, or is not. */
function written(
  text: string,
  isTTY: boolean,
  { colour, env = {}, progress = [] }: WrittenOptions = {},
): { out: string; err: string } {
  const texts = { out: "", err: "" };
  const stream = (name: "out" | "err") => {
    const write = (chunk: Buffer, _: string, done: () => void) => {
      texts[name] += chunk.toString();
      done();
    };
    return Object.assign(new Writable({ write }), { isTTY });
  };
  const streams = { stdin: process.stdin, stdout: stream("out"), stderr: stream("err") };
  const terminal = processTerminal({ env, ...streams } as unknown as NodeJS.Process);
  terminal.out(text, colour);
  terminal.err(text);
  for (const line of progress) terminal.progress(line);
  return texts;
}

/** Clears the screen, names the window, fills the clipboard, in both forms of control characters. */
const STEERING = "a\u001b[2J\u001b]0;b\u0007\u001b]52;c;d\u0007\u009b2J\rX\b\u007f\u0000";

it("spells out what would steer a terminal", () => {
  const shown =
    "a\\u001b[2J\\u001b]0;b\\u0007\\u001b]52;c;d\\u0007\\u009b2J\\u000dX\\u0008\\u007f\\u0000";
  expect(written(STEERING, true)).toEqual({ out: shown, err: shown });
  const text = "ü\n\tb 👨‍👩‍👧 日本\\u001b";
  expect(written(text, true)).toEqual({ out: text, err: text });
});

it("leaves every character to a file or another program", () => {
  expect(written(STEERING, false)).toEqual({ out: STEERING, err: STEERING });
});

it("shows how far something has come in one line, and leaves none", () => {
  const shown = (isTTY: boolean) =>
    written("", isTTY, { progress: ["1 of 2", "2\r of 2", ""] }).err;
  expect(shown(true)).toBe("\r\u001b[K1 of 2\r\u001b[K2\\u000d of 2\r\u001b[K");
  expect(shown(false)).toBe("");
});

it("makes one line of what is not seen, or turns the order of what is", () => {
  expect(oneLine("a\u202eb\u200bc\ufeffd\u2066e\u001b[0m\n\tf\u2028g")).toBe("a b c d e [0m f g");
});

it("colours what a person sees, and nothing that was written to steer the terminal", () => {
  const text = "-a\n-\u001b[32mb\n";
  const { out } = written(text, true, { colour: "red" });
  expect(out).toBe("\u001b[31m-a\u001b[0m\n\u001b[31m-\\u001b[32mb\u001b[0m\n");
  expect(written(text, false, { colour: "red" }).out).toBe(text);
  expect(written("-a", true, { colour: "red", env: { NO_COLOR: "1" } }).out).toBe("-a");
});
