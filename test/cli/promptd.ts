import { run } from "../../src/cli/program.ts";
import { confided, said } from "../support/leaks.ts";

export interface Ended {
  code: number;
  out: string;
  err: string;
}

export interface Surroundings {
  env?: Record<string, string>;
  stdin?: string;
  /** As on a terminal. */
  watched?: boolean;
}

/** Runs a command line in this process, as the program does. */
export async function promptd(
  args: readonly string[],
  { env = {}, stdin = "", watched = false }: Surroundings = {},
): Promise<Ended> {
  confided("template", stdin);
  for (const [index, option] of args.entries()) {
    if (option !== "--var" && option !== "--var-json") continue;
    confided("value", args[index + 1]?.replace(/^.*?=/, "") ?? "");
  }
  let out = "";
  let err = "";
  const code = await run(args, {
    env,
    stdin: (async function* () {
      yield Buffer.from(stdin);
    })(),
    out: (text) => {
      out += text;
    },
    outClosed: false,
    err: (text) => {
      err += text;
    },
    progress: (text) => {
      if (watched) err += `\r${text}`;
    },
    watched,
  });
  said("standard error", err);
  return { code, out, err };
}

/** Command lines against one service, split at spaces. */
export function against(address: string) {
  return (line: string | readonly string[], surroundings: Surroundings = {}): Promise<Ended> => {
    const args = typeof line === "string" ? line.split(" ") : line;
    return promptd(args, {
      ...surroundings,
      env: { PROMPTD_ADDRESS: address, ...surroundings.env },
    });
  };
}
