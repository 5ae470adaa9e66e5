import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { runs } from "../support/curl.ts";

type Command = readonly [program: string, ...args: string[]];

/** A program of `examples/`, as its README has it built and run. */
export interface Program {
  language: string;
  /** In `examples/`; the commands run there. */
  folder: string;
  /** The prompt that it makes. */
  name: string;
  /** Of the tools that must be here for it, each by a command that ends with 0. */
  needs: Record<string, Command>;
  build: readonly Command[];
  run: Command;
  /** Which port it calls. */
  port: "gRPC" | "HTTP";
}

const go: Command = ["go", "-C", "examples/go", "version"];
const jq: Command = ["jq", "--version"];
const mvn: Command = ["mvn", "-B", "-q"];

export const PROGRAMS: readonly Program[] = [
  {
    language: "TypeScript",
    folder: "typescript",
    name: "examples/typescript",
    needs: { npm: ["npm", "--version"] },
    build: [
      ["npm", "ci"],
      ["npm", "run", "build"],
    ],
    run: ["node", "dist/src/main.js"],
    port: "gRPC",
  },
  {
    language: "Go",
    folder: "go",
    name: "examples/go",
    needs: { "go 1.24": go },
    build: [
      ["go", "generate"],
      ["go", "vet"],
    ],
    run: ["go", "run", "."],
    port: "gRPC",
  },
  {
    language: "Python",
    folder: "python",
    name: "examples/python",
    needs: {
      "python3 3.10 with venv": [
        "python3",
        "-c",
        "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))",
      ],
    },
    build: [
      ["python3", "-m", "venv", ".venv"],
      [".venv/bin/pip", "install", "--quiet", "--require-hashes", "-r", "requirements.txt"],
      ["buf", "generate"],
    ],
    run: ["python", "main.py"],
    port: "gRPC",
  },
  {
    language: "Java",
    folder: "java",
    name: "examples/java",
    needs: { javac: ["javac", "--release", "17", "--version"], mvn: ["mvn", "--version"] },
    build: [[...mvn, "compile"]],
    run: [...mvn, "exec:java"],
    port: "gRPC",
  },
  {
    language: "curl",
    folder: "curl",
    name: "examples/curl",
    needs: { curl: ["curl", "--version"], jq, openssl: ["openssl", "version"] },
    build: [],
    run: ["./promptd.sh"],
    port: "HTTP",
  },
  {
    language: "grpcurl",
    folder: "curl",
    name: "examples/grpcurl",
    needs: { "go 1.24": go, jq },
    build: [],
    run: ["./grpcurl.sh"],
    port: "gRPC",
  },
];

/** The first tool that is not here. */
export function missing({ needs }: Program): string | undefined {
  return Object.entries(needs).find(([, [program, ...args]]) => !runs(program, ...args))?.[0];
}

/** Builds and runs it, and answers with the lines that it printed. */
export async function linesOf(
  { folder, build, run }: Program,
  env: Record<string, string>,
): Promise<Record<string, unknown>[]> {
  const cwd = resolve("examples", folder);
  // The repository's buf, and the Python of the folder.
  const path = [resolve("node_modules/.bin"), resolve(cwd, ".venv/bin"), process.env.PATH];
  const call = ([program, ...args]: Command) =>
    promisify(execFile)(program, args, {
      cwd,
      env: { ...process.env, ...env, PATH: path.join(":") },
    }).catch((thrown) => {
      // Maven tells on standard output what is wrong.
      throw new Error(`${thrown.message}${thrown.stdout}`);
    });
  for (const command of build) await call(command);
  const { stdout } = await call(run);
  // What stands before a line's brace is Maven's, which sets colours back where there are none too.
  return stdout
    .split("\n")
    .filter((line) => line.includes("{"))
    .map((line) => JSON.parse(line.slice(line.indexOf("{"))));
}
