/** Which commit a program runs at, as git or the CI it runs in knows it. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** What is absent nobody knows. */
export interface Origin {
  /** In full; `-dirty` behind it where files differ from it. */
  commit: string;
  branch?: string;
  /** Who wrote the commit. */
  author?: string;
  /** Of the CI's run. */
  url?: string;
}

const GIT_TIMEOUT_MS = 5000;

/**
 * A folder that came with somebody's repository can look like a bare repository itself, whose
 * configuration names commands to run. Git before 2.38 knows only the second.
 */
const NOTHING_OF_THE_FOLDER = ["-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false"];

/**
 * What git says of the folder, and of GitHub Actions or GitLab what git does not know there:
 * the branch of a detached checkout, and the run's URL. Without git, what they say alone.
 *
 * @returns undefined where nobody knows of a commit
 */
export async function readOrigin(env: NodeJS.ProcessEnv, dir = "."): Promise<Origin | undefined> {
  const ci = originOfCi(env);
  const git = await originOfGit(dir);
  const commit = git?.commit ?? ci.commit;
  return commit === undefined ? undefined : { ...ci, ...git, commit };
}

/** The variables are those that GitHub's and GitLab's documentation of CI variables names. */
function originOfCi(env: NodeJS.ProcessEnv): Partial<Origin> {
  const { GITHUB_SERVER_URL, GITHUB_REPOSITORY, GITHUB_RUN_ID } = env;
  const githubUrl =
    GITHUB_SERVER_URL && GITHUB_REPOSITORY && GITHUB_RUN_ID
      ? `${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}/actions/runs/${GITHUB_RUN_ID}`
      : undefined;
  return known({
    commit: env.GITHUB_SHA || env.CI_COMMIT_SHA,
    branch: env.GITHUB_HEAD_REF || env.GITHUB_REF_NAME || env.CI_COMMIT_REF_NAME,
    author: env.GITHUB_ACTOR || env.CI_COMMIT_AUTHOR,
    url: githubUrl ?? env.CI_JOB_URL,
  });
}

async function originOfGit(dir: string): Promise<Origin | undefined> {
  const git = async (...args: string[]): Promise<string> => {
    const options = { cwd: dir, timeout: GIT_TIMEOUT_MS, windowsHide: true };
    return (
      await promisify(execFile)("git", [...NOTHING_OF_THE_FOLDER, ...args], options)
    ).stdout.trim();
  };
  try {
    const [commit = "", author] = (await git("log", "-1", "--format=%H%n%an")).split("\n");
    const branch = await git("branch", "--show-current");
    const isDirty = (await git("status", "--porcelain", "--untracked-files=no")) !== "";
    return { commit: isDirty ? `${commit}-dirty` : commit, ...known({ branch, author }) };
  } catch {
    return undefined;
  }
}

function known<Fields extends object>(fields: Fields): { [Key in keyof Fields]?: string } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => Boolean(value))) as {
    [Key in keyof Fields]?: string;
  };
}
