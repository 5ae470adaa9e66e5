/**
 * An application with prompts in its code, run as a program of its own: its prompts and
 * options come as JSON in an argument, calls as lines of JSON on standard input, answers go out as
 * such lines. It closes nothing: where nobody calls any more it has come to its end.
 */

import { createInterface } from "node:readline";
import { registerPrompts } from "../../src/library/prompts/index.ts";

const { declared, options } = JSON.parse(process.argv[2] ?? "{}");
const prompts = registerPrompts(declared, options);

for await (const line of createInterface({ input: process.stdin })) {
  const { call, args } = JSON.parse(line) as {
    call: "get" | "compile" | "registered";
    args: [never, never];
  };
  const answer = await prompts[call](...args).then(
    (result) => ({ result }),
    ({ code, message }) => ({ error: { code, message } }),
  );
  console.log(JSON.stringify(answer));
}
