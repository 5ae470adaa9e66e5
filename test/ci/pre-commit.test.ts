import { execFileSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scratch } from "./scratch.ts";

describe("docs/ci/pre-commit", () => {
  let scratch: Scratch;

  beforeAll(() => {
    scratch = new Scratch();
    scratch.commit("main", { "prompts/greeting.md": "Hi {{name}}\n", "other.txt": "other\n" });
    copyFileSync("docs/ci/pre-commit", join(scratch.origin, ".git/hooks/pre-commit"));
  });

  afterAll(() => scratch.remove());

  /** What `git commit` says where it refuses. */
  function refusal(env = scratch.env): string | undefined {
    try {
      const options = { cwd: scratch.origin, env, encoding: "utf8", stdio: "pipe" } as const;
      execFileSync("git", ["commit", "--quiet", "--message", "Change"], options);
      return undefined;
    } catch (thrown) {
      const { stdout, stderr } = thrown as { stdout: string; stderr: string };
      return stdout + stderr;
    }
  }

  const add = (...paths: string[]) => scratch.git(scratch.origin, "add", ...paths);
  const head = () => scratch.git(scratch.origin, "rev-parse", "HEAD");

  it("lets good prompts pass", () => {
    scratch.write({ "prompts/greeting.md": "Hello {{name}}\n" });
    add(".");
    expect(refusal()).toBeUndefined();
  });

  it("refuses broken ones, and says where", () => {
    const before = head();
    scratch.write({ "prompts/greeting.md": "Hello\n{{name}\n" });
    add(".");
    const said = refusal();
    expect(said).toContain("prompts/greeting.md\n  2:1  error    syntax");
    expect(head()).toBe(before);
  });

  it("looks at what is staged, not at the files", () => {
    scratch.write({ "prompts/greeting.md": "Hello {{name}}!\n" });
    expect(refusal()).toContain("syntax");
    add(".");
    scratch.write({ "prompts/greeting.md": "{{name}\n" });
    expect(refusal()).toBeUndefined();
  });

  it("looks at what is committed by path", () => {
    scratch.write({ "other.txt": "changed\n" });
    add("other.txt");
    expect(() => scratch.git(scratch.origin, "commit", "-m", "Change", "prompts")).toThrow(
      "syntax",
    );
    scratch.git(scratch.origin, "commit", "-m", "Change", "other.txt");
  });

  it("does not run where no prompt is staged, and says so where promptd is missing", () => {
    const env = { ...scratch.env, PATH: "/usr/bin:/bin" };
    scratch.write({ "other.txt": "changed again\n" });
    add("other.txt");
    expect(refusal(env)).toBeUndefined();
    add(".");
    expect(refusal(env)).toContain("promptd is not installed");
  });
});
