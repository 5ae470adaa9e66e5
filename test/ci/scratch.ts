/** A git repository with prompts, and the programs that CI has on its PATH. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { installPromptd, writeProgram } from "../support/installed.ts";

/** Changes to the files of the repository: their text, or undefined for one that goes. */
type Files = Record<string, string | undefined>;

export class Scratch {
  readonly dir = mkdtempSync(join(tmpdir(), "promptd-ci-"));
  /** The repository, which CI fetches from. */
  readonly origin = join(this.dir, "origin");
  readonly #bin = join(this.dir, "bin");
  readonly #log = join(this.dir, "calls");
  /** For all that CI runs. No settings of who runs the test reach git. */
  readonly env: Record<string, string> = {
    PATH: `${this.#bin}:${process.env.PATH}`,
    HOME: this.dir,
    GIT_CONFIG_NOSYSTEM: "1",
    LOG: this.#log,
  };

  constructor() {
    installPromptd(this.#bin);
    mkdirSync(this.origin);
    this.git(this.origin, "init", "--quiet", "--initial-branch=main");
    this.git(this.origin, "config", "user.name", "Ada Lovelace");
    this.git(this.origin, "config", "user.email", "ada@example.com");
    this.git(this.origin, "commit", "--quiet", "--allow-empty", "--message", "Begin");
  }

  readonly git = (cwd: string, ...args: string[]): string =>
    execFileSync("git", args, { cwd, env: this.env, encoding: "utf8", stdio: "pipe" }).trim();

  /** Commits on a branch, which is made from main where it is not there. Answers with the commit. */
  commit(branch: string, files: Files): string {
    const isNew = this.git(this.origin, "branch", "--list", branch) === "";
    const which = isNew ? ["-b", branch, "main"] : [branch];
    this.git(this.origin, "checkout", "--quiet", ...which);
    this.write(files);
    this.git(this.origin, "add", "--all");
    this.git(this.origin, "commit", "--quiet", "--message", "Change prompts");
    return this.git(this.origin, "rev-parse", "HEAD");
  }

  /** In the files, without a commit. */
  write(files: Files): void {
    for (const [path, text] of Object.entries(files)) {
      const file = join(this.origin, path);
      if (text === undefined) rmSync(file);
      else {
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, text);
      }
    }
  }

  /** The commit of a merge into main: on main, or, as hosts make it for a pull request, on no branch. */
  merge(branch: string, into: "main" | "nowhere"): string {
    this.git(this.origin, "checkout", "--quiet", ...(into === "main" ? [] : ["--detach"]), "main");
    this.git(this.origin, "merge", "--quiet", "--no-ff", "--message", `Merge ${branch}`, branch);
    const commit = this.git(this.origin, "rev-parse", "HEAD");
    if (into === "nowhere") this.git(this.origin, "update-ref", `refs/pull/${branch}`, commit);
    return commit;
  }

  /** Puts a stand-in on PATH: a script of bash, which keeps what it is called with. */
  standIn(name: string, script: string): void {
    const keep = `printf '%s\\n' "${name} $*" >>"$LOG"`;
    writeProgram(this.#bin, name, `#!/usr/bin/env bash\nset -eo pipefail\n${keep}\n${script}\n`);
  }

  /** What stand-ins were called with since this was asked last, a line for each. */
  calls(): string[] {
    if (!existsSync(this.#log)) return [];
    const lines = readFileSync(this.#log, "utf8").trim().split("\n");
    rmSync(this.#log);
    return lines;
  }

  remove(): void {
    rmSync(this.dir, { recursive: true });
  }
}
