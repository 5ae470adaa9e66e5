/**
 * Runs a pipeline as GitLab does, as far as docs/ci/gitlab-ci.yml needs that: rules, `extends`, `needs`,
 * variables with their protection and environment, and the scripts in bash. It throws at what it does
 * not know, so that nothing of the file is passed over.
 */

import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { bash, onlyKeys } from "./bash.ts";
import type { Scratch } from "./scratch.ts";

export interface Pipeline {
  source: "merge_request_event" | "push";
  commit: string;
  branch: string;
}

/** Of the project's settings. */
export interface Variable {
  name: string;
  value: string;
  /** Given to pipelines of main alone. */
  isProtected?: true;
  /** Given to jobs of this environment alone. */
  environment?: string;
}

export interface Job {
  result: "success" | "failure" | "skipped";
  out: string;
  /** Where its reports are looked for. */
  dir: string;
}

interface JobDefinition {
  extends?: string;
  needs?: string[];
  environment?: string;
  rules: { if: string }[];
  before_script?: string[];
  script: string[];
}

const KEYS = [
  "image",
  "extends",
  "stage",
  "needs",
  "environment",
  "resource_group",
  "rules",
  "before_script",
  "script",
  "artifacts",
];
const MAIN = "main";

/** How its jobs ended; those that no rule lets in are not there. */
export async function runPipeline(
  text: string,
  { source, commit, branch }: Pipeline,
  settings: readonly Variable[],
  scratch: Scratch,
): Promise<Record<string, Job>> {
  const { variables, ...rest } = parse(text);
  const definitions = rest as Record<string, JobDefinition>;
  const isMain = source === "push" && branch === MAIN;
  const predefined: Record<string, string> = {
    CI: "true",
    GITLAB_CI: "true",
    CI_PIPELINE_SOURCE: source,
    CI_COMMIT_SHA: commit,
    CI_COMMIT_REF_NAME: branch,
    CI_COMMIT_AUTHOR: "Ada Lovelace <ada@example.com>",
    CI_DEFAULT_BRANCH: MAIN,
    CI_JOB_URL: "https://gitlab.example.com/acme/prompts/-/jobs/42",
    ...(source === "push"
      ? { CI_COMMIT_BRANCH: branch }
      : { CI_MERGE_REQUEST_TARGET_BRANCH_NAME: MAIN }),
  };
  const jobs: Record<string, Job> = {};
  for (const [name, definition] of Object.entries<JobDefinition>(definitions)) {
    if (name.startsWith(".")) continue;
    const { extends: base = "", ...own } = onlyKeys(definition, KEYS);
    const job: JobDefinition = { ...onlyKeys(definitions[base] ?? {}, KEYS), ...own };
    if (!job.rules.some((rule) => holds(onlyKeys(rule, ["if"]).if, predefined))) continue;
    const dir = mkdtempSync(join(scratch.dir, "job-"));
    if (job.needs?.some((other) => jobs[other]?.result !== "success")) {
      jobs[name] = { result: "skipped", out: "", dir };
      continue;
    }
    const given = settings.filter(
      ({ isProtected, environment }) =>
        (isMain || !isProtected) && (environment ?? job.environment) === job.environment,
    );
    scratch.git(dir, "init", "--quiet");
    scratch.git(dir, "fetch", "--quiet", "--depth=1", scratch.origin, commit);
    scratch.git(dir, "checkout", "--quiet", "--detach", "FETCH_HEAD");
    const script = join(scratch.dir, "script.sh");
    writeFileSync(script, [...(job.before_script ?? []), ...job.script].join("\n"));
    const { code, out } = await bash(["-eo", "pipefail", script], dir, {
      ...scratch.env,
      ...predefined,
      ...variables,
      ...Object.fromEntries(given.map(({ name, value }) => [name, value])),
    });
    jobs[name] = { result: code === 0 ? "success" : "failure", out, dir };
  }
  return jobs;
}

/** @throws at a rule that does not compare two variables */
function holds(rule: string, variables: Record<string, string>): boolean {
  const [, left = "", right = ""] = /^(\$\w+) == (\$\w+)$/.exec(rule) ?? [];
  if (left === "") throw new Error(`not known here: ${rule}`);
  return variables[left.slice(1)] === variables[right.slice(1)];
}
