import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Said {
  code: number;
  /** On both outputs. */
  out: string;
}

/** Runs bash with exactly this environment. */
export async function bash(
  args: readonly string[],
  cwd: string,
  env: Record<string, string>,
): Promise<Said> {
  const child = spawn("bash", args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
  }
  const [code] = await once(child, "close");
  return { code: code ?? -1, out };
}

/** @throws where a part of a file has a key that the one who runs it does not know */
export function onlyKeys<Part extends object>(part: Part, known: readonly string[]): Part {
  const unknown = Object.keys(part).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new Error(`not known here: ${unknown.join(", ")}`);
  return part;
}
