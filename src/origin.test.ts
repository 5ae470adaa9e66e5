import { execFileSync } from "node:child_process";
import { access, appendFile, cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readOrigin } from "./origin.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-origin-"));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

function git(...args: string[]): string {
  const identity = ["-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.com"];
  return execFileSync("git", [...identity, ...args], { cwd: dir, encoding: "utf8" }).trim();
}

async function commitSomething(): Promise<string> {
  await writeFile(join(dir, "prompt.md"), "Hello");
  git("init", "--quiet", "--initial-branch=main");
  git("add", ".");
  git("commit", "--quiet", "--message", "Say hello");
  return git("rev-parse", "HEAD");
}

it("knows nothing of a folder that is in no repository", async () => {
  expect(await readOrigin({}, dir)).toBeUndefined();
});

it("reads commit, branch and author of a repository", async () => {
  const commit = await commitSomething();
  expect(await readOrigin({}, dir)).toEqual({ commit, branch: "main", author: "Ada Lovelace" });
});

it("tells a commit from one with edits upon it", async () => {
  const commit = await commitSomething();
  await writeFile(join(dir, "prompt.md"), "Hello there");
  expect(await readOrigin({}, dir)).toMatchObject({ commit: `${commit}-dirty` });
});

it("adds the run of GitHub Actions, and the branch of its detached checkout", async () => {
  const commit = await commitSomething();
  git("checkout", "--quiet", "--detach");
  const env = {
    GITHUB_SHA: "f00",
    GITHUB_REF_NAME: "main",
    GITHUB_ACTOR: "ada",
    GITHUB_SERVER_URL: "https://github.com",
    GITHUB_REPOSITORY: "acme/prompts",
    GITHUB_RUN_ID: "7",
  };
  expect(await readOrigin(env, dir)).toEqual({
    commit,
    branch: "main",
    author: "Ada Lovelace",
    url: "https://github.com/acme/prompts/actions/runs/7",
  });
});

it("takes the word of GitLab where there is no git", async () => {
  const env = {
    CI_COMMIT_SHA: "f00",
    CI_COMMIT_REF_NAME: "main",
    CI_COMMIT_AUTHOR: "Ada <ada@example.com>",
    CI_JOB_URL: "https://gitlab.com/acme/prompts/-/jobs/7",
  };
  expect(await readOrigin(env, dir)).toEqual({
    commit: "f00",
    branch: "main",
    author: "Ada <ada@example.com>",
    url: "https://gitlab.com/acme/prompts/-/jobs/7",
  });
});

it("runs nothing that a folder of the repository asks git to run", async () => {
  await commitSomething();
  // What git takes for a bare repository can be committed like other files.
  const folder = join(dir, "prompts");
  await cp(join(dir, ".git"), folder, { recursive: true });
  const config = '[core]\nbare = false\nworktree = ..\nfsmonitor = "touch ran; false"\n';
  await appendFile(join(folder, "config"), config);
  expect(await readOrigin({ GITHUB_SHA: "f00" }, folder)).toMatchObject({ commit: "f00" });
  await expect(access(join(dir, "ran"))).rejects.toThrow("ENOENT");
});
