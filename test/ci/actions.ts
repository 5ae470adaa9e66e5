/**
 * Runs a workflow as GitHub Actions does, as far as docs/ci/github-actions.yml needs that: what starts it,
 * jobs and what they need, expressions, secrets, permissions, and the steps' scripts in bash. It throws at
 * what it does not know, so that nothing of the file is passed over.
 */

import { deepStrictEqual } from "node:assert";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { bash, onlyKeys } from "./bash.ts";
import { evaluate, filled, type Scope } from "./expressions.ts";
import type { Scratch } from "./scratch.ts";

export interface Event {
  name: "pull_request" | "push";
  /** Of a pull request that of the merge which GitHub makes. */
  commit: string;
  /** Of a pull request. */
  number?: number;
  /** Of a pull request: that is to be merged. */
  head?: string;
}

export interface Secrets {
  repository: Record<string, string>;
  /** By the environment that a job has to name. */
  environments: Record<string, Record<string, string>>;
}

export interface Job {
  result: "success" | "failure" | "skipped";
  /** What its steps said on both outputs. */
  out: string;
  /** The step that failed. */
  failed?: string;
}

interface JobDefinition {
  if?: string;
  needs?: string;
  permissions?: Record<string, string>;
  environment?: string;
  steps: Step[];
}

interface Step {
  name?: string;
  id?: string;
  if?: string;
  env?: Record<string, string>;
  uses?: string;
  with?: Record<string, unknown>;
  run?: string;
}

const KEYS = {
  workflow: ["name", "on", "env", "permissions", "defaults", "concurrency", "jobs"],
  job: ["if", "needs", "runs-on", "timeout-minutes", "permissions", "environment", "steps"],
  step: ["name", "id", "if", "env", "uses", "with", "run"],
};
const BASE = "main";
const SITE = {
  GITHUB_SERVER_URL: "https://github.example.com",
  GITHUB_REPOSITORY: "acme/prompts",
  GITHUB_RUN_ID: "42",
  GITHUB_ACTOR: "ada-on-github",
};

/** Its concurrency, and how its jobs ended. @throws at what is not known here */
export async function runWorkflow(
  text: string,
  event: Event,
  secrets: Secrets,
  scratch: Scratch,
): Promise<{ concurrency: Record<string, string>; jobs: Record<string, Job> }> {
  const workflow = onlyKeys(parse(text), KEYS.workflow);
  const branches = [BASE];
  deepStrictEqual(workflow.on, { pull_request: { branches }, push: { branches } });
  // The shell that scripts are run with below.
  deepStrictEqual(workflow.defaults, { run: { shell: "bash" } });
  const isPull = event.name === "pull_request";
  const github = {
    event_name: event.name,
    ref: isPull ? `refs/pull/${event.number}/merge` : `refs/heads/${BASE}`,
    event: isPull ? { pull_request: { number: event.number } } : {},
  };
  const env: Record<string, string> = {
    ...scratch.env,
    ...SITE,
    CI: "true",
    GITHUB_ACTIONS: "true",
    GITHUB_EVENT_NAME: event.name,
    GITHUB_SHA: event.commit,
    GITHUB_REF: github.ref,
    GITHUB_REF_NAME: github.ref.replace(/^refs\/(heads|pull)\//, ""),
    GITHUB_HEAD_REF: event.head ?? "",
    GITHUB_BASE_REF: isPull ? BASE : "",
    ...workflow.env,
  };
  const jobs: Record<string, Job> = {};
  for (const [name, job] of Object.entries<JobDefinition>(workflow.jobs)) {
    onlyKeys(job, KEYS.job);
    const canStart = job.needs === undefined || jobs[job.needs]?.result === "success";
    if (!canStart || (job.if !== undefined && !evaluate(job.if, { github }))) {
      jobs[name] = { result: "skipped", out: "" };
      continue;
    }
    const { permissions = workflow.permissions, environment = "" } = job;
    const scope = {
      // What it allows is what the stand-in for GitHub's program allows.
      github: { ...github, token: JSON.stringify(permissions) },
      secrets: { ...secrets.repository, ...secrets.environments[environment] },
      steps: {},
    };
    jobs[name] = await runJob(job.steps, scope, env, scratch);
  }
  return {
    concurrency: Object.fromEntries(
      Object.entries(workflow.concurrency).map(([key, value]) => [
        key,
        filled(String(value), { github }),
      ]),
    ),
    jobs,
  };
}

/** In folders of its own, as on a machine of its own. */
async function runJob(
  steps: Step[],
  scope: Scope & { steps: Record<string, Record<string, string>> },
  env: Record<string, string>,
  scratch: Scratch,
): Promise<Job> {
  const dir = mkdtempSync(join(scratch.dir, "job-"));
  const [workspace, temp] = [join(dir, "workspace"), join(dir, "temp")];
  mkdirSync(workspace);
  mkdirSync(temp);
  const job: Job = { result: "success", out: "" };
  for (const [index, step] of steps.entries()) {
    onlyKeys(step, KEYS.step);
    // A condition that asks for no status holds only where nothing has failed.
    if (job.result === "failure" && !step.if?.includes("cancelled()")) continue;
    if (step.if !== undefined && !evaluate(step.if, scope)) continue;
    if (step.uses !== undefined) {
      use(step, workspace, env, scratch);
      continue;
    }
    const [script, output] = [join(temp, `${index}.sh`), join(temp, `${index}.output`)];
    writeFileSync(script, step.run ?? "");
    writeFileSync(output, "");
    const own = Object.entries(step.env ?? {}).map(([key, text]) => [key, filled(text, scope)]);
    const said = await bash(["--noprofile", "--norc", "-eo", "pipefail", script], workspace, {
      ...env,
      GITHUB_WORKSPACE: workspace,
      GITHUB_OUTPUT: output,
      GITHUB_STEP_SUMMARY: join(temp, "summary.md"),
      RUNNER_TEMP: temp,
      ...Object.fromEntries(own),
    });
    job.out += said.out;
    if (said.code !== 0) {
      job.result = "failure";
      job.failed ??= step.name ?? step.run ?? "";
    }
    if (step.id === undefined) continue;
    const lines = readFileSync(output, "utf8").split("\n").filter(Boolean);
    scope.steps[step.id] = Object.fromEntries(lines.map((line) => line.split("=", 2)));
  }
  return job;
}

/** What the two actions do here: the commit is checked out as it is there, and Node is there. */
function use(
  step: Step,
  workspace: string,
  env: Record<string, string>,
  { git, origin }: Scratch,
): void {
  const [action] = step.uses?.split("@") ?? [];
  if (action === "actions/checkout") {
    deepStrictEqual(step.with, { "persist-credentials": false });
    git(workspace, "init", "--quiet");
    git(workspace, "fetch", "--quiet", "--depth=1", origin, env.GITHUB_SHA ?? "");
    const isPull = env.GITHUB_EVENT_NAME === "pull_request";
    const how = isPull ? ["--detach"] : ["-B", env.GITHUB_REF_NAME ?? ""];
    git(workspace, "checkout", "--quiet", ...how, "FETCH_HEAD");
  } else if (action === "actions/setup-node") {
    deepStrictEqual(step.with, { "node-version": 24, "package-manager-cache": false });
  } else {
    throw new Error(`not known here: ${step.uses}`);
  }
}
