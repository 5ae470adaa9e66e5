import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runs } from "../support/curl.ts";
import { type Job, runWorkflow, type Secrets } from "./actions.ts";
import { type Deployed, startDeployed } from "./deployed.ts";
import { BROKEN, CHANGES, CHAT, FAILING, PROMPTS } from "./prompts.ts";
import { Scratch } from "./scratch.ts";

const hasJq = runs("jq", "--version");

if (!hasJq && process.env.CI === "true") throw new Error("CI needs jq");

const PACKAGE = "https://packages.acme.example/promptd.tgz";

// GitHub's program gh is a stand-in, which keeps comments in a file, and npm one that installs nothing:
// the promptd on PATH is the source's. All else is what it would be: git, bash, the scripts, the service, its keys.
describe.skipIf(!hasJq)(`docs/ci/github-actions.yml${hasJq ? "" : " (skipped: needs jq)"}`, () => {
  let service: Deployed;
  let scratch: Scratch;
  let secrets: Secrets;
  let workflow: string;

  beforeAll(async () => {
    service = await startDeployed();
    secrets = {
      repository: { PROMPTD_READ_KEY: service.readKey.secretKey },
      environments: { production: { PROMPTD_DEPLOY_KEY: service.deployKey.secretKey } },
    };
    workflow = service.addressed(readFileSync("docs/ci/github-actions.yml", "utf8"), PACKAGE);
    scratch = new Scratch();
    scratch.standIn("npm", "");
    scratch.standIn("gh", readFileSync("test/ci/gh.sh", "utf8"));
  });

  afterAll(async () => {
    await service.close();
    scratch.remove();
  });

  const push = (commit: string, text = workflow) =>
    runWorkflow(text, { name: "push", commit }, secrets, scratch);

  const pull = (branch: string, given = secrets) => {
    const event = { name: "pull_request", number: 7, head: branch } as const;
    const commit = scratch.merge(branch, "nowhere");
    return runWorkflow(workflow, { ...event, commit }, given, scratch);
  };

  const results = (jobs: Record<string, Job>) =>
    Object.values(jobs).map(({ result, failed }) => failed ?? result);

  const comments = (): { user: { login: string }; body: string }[] =>
    JSON.parse(readFileSync(`${scratch.env.LOG}.comments`, "utf8"));

  // Each goes on where the one before ended.
  it("deploys what is on main", async () => {
    const { jobs, concurrency } = await push(scratch.commit("main", PROMPTS));
    expect(results(jobs)).toEqual(["success", "skipped", "success"]);
    expect(concurrency).toEqual({
      group: "promptd-refs/heads/main",
      "cancel-in-progress": "false",
    });
    const install = `npm install --global --ignore-scripts ${PACKAGE}`;
    expect(scratch.calls()).toEqual([install, install]);
    expect(await service.served("support/greeting")).toBe("Hi {{name}}.\n");
    expect(await service.served("old")).toBe("Nobody needs this.\n");
  });

  it("checks a pull request and comments the plan, and nothing is deployed", async () => {
    scratch.commit("change", CHANGES);
    const others = [
      { id: 1, user: { login: "mallory" }, body: "<!-- promptd plan --> mine" },
      { id: 2, user: { login: "github-actions[bot]" }, body: "coverage: 93 %" },
    ];
    writeFileSync(`${scratch.env.LOG}.comments`, JSON.stringify(others));
    const { jobs, concurrency } = await pull("change");
    expect(results(jobs)).toEqual(["success", "success", "skipped"]);
    expect(concurrency).toEqual({
      group: "promptd-refs/pull/7/merge",
      "cancel-in-progress": "true",
    });
    expect(comments().slice(0, 2)).toEqual(others);
    expect(comments()).toHaveLength(3);
    const { body = "" } = comments()[2] ?? {};
    expect(body).toMatch(/^<!-- promptd plan -->\n/);
    expect(body).toMatch(/\+ farewell/);
    expect(body).toMatch(/\+ support\/greeting/);
    expect(body).not.toMatch(/title|old/);
    expect(await service.served("support/greeting")).toBe("Hi {{name}}.\n");
    expect(await service.served("farewell")).toContain("farewell");
  });

  it("changes that comment with the next commit", async () => {
    scratch.commit("change", { "prompts/thanks.md": "Thanks {{name}}\n" });
    expect(results((await pull("change")).jobs)).toEqual(["success", "success", "skipped"]);
    expect(comments()).toHaveLength(3);
    expect(comments()[2]?.body).toMatch(/\+ farewell.*\+ thanks/s);
  });

  it("has no key for a fork, and says so", async () => {
    const { jobs } = await pull("change", { repository: {}, environments: {} });
    expect(results(jobs)).toEqual(["success", "success", "skipped"]);
    expect(jobs.plan?.out).toContain("::notice title=promptd plan::Skipped: ");
    expect(scratch.calls().filter((call) => call.startsWith("gh"))).toHaveLength(4);
    expect(comments()[2]?.body).toContain("thanks");
  });

  it("stops at a broken prompt, and names its line", async () => {
    scratch.commit("broken", BROKEN);
    const { jobs } = await pull("broken");
    expect(results(jobs)).toEqual(["promptd validate --github", "skipped", "skipped"]);
    expect(jobs.check?.out).toContain("::error file=prompts/title.md,line=3,col=1,");
  });

  it("stops at a failing test, and names its line", async () => {
    scratch.commit("failing", FAILING);
    const { jobs } = await pull("failing");
    expect(results(jobs)).toEqual(["promptd test --github", "skipped", "skipped"]);
    expect(jobs.check?.out).toMatch(/::error file=prompts\/support\/greeting\.prompt,line=\d,/);
  });

  it("comments why nothing can be deployed, and fails", async () => {
    scratch.commit("chat", { "prompts/title.md": undefined, "prompts/title.prompt": CHAT });
    const { jobs } = await pull("chat");
    expect(results(jobs)).toEqual(["success", "Plan", "skipped"]);
    expect(comments()).toHaveLength(3);
    expect(comments()[2]?.body).toMatch(/! title/);
  });

  it("deploys what was merged, and the history says from where", async () => {
    const merged = scratch.merge("change", "main");
    expect(results((await push(merged)).jobs)).toEqual(["success", "skipped", "success"]);
    expect(await service.served("support/greeting")).toBe("Hello {{name}}!\n");
    expect(await service.served("farewell")).toBe("Goodbye {{name}}\n");
    const [change] = await service.history("support/greeting");
    const run = "https://github.example.com/acme/prompts/actions/runs/42";
    expect(change?.reason).toBe(`deploy ${merged.slice(0, 12)} (main) by Ada Lovelace: ${run}`);
    expect(change?.actor).toBe(service.deployKey.publicKey);
  });

  it("changes nothing when it is run again", async () => {
    const before = (await service.history())[0]?.revision;
    const commit = scratch.git(scratch.origin, "rev-parse", "main");
    expect(results((await push(commit)).jobs)).toEqual(["success", "skipped", "success"]);
    expect((await service.history())[0]?.revision).toBe(before);
  });

  it("takes prompts without a file away where it is told to, as README.md says", async () => {
    expect(await service.served("old")).toBe("Nobody needs this.\n");
    const pruning = workflow.replaceAll("promptd deploy", "promptd deploy --prune");
    const commit = scratch.git(scratch.origin, "rev-parse", "main");
    expect(results((await push(commit, pruning)).jobs)).toEqual(["success", "skipped", "success"]);
    expect(await service.served("old")).toContain('no label "production"');
    expect(await service.served("support/greeting")).toBe("Hello {{name}}!\n");
  });

  it.each([
    ["a step's key", "id: plan", "id: plan\n        continue-on-error: true"],
    ["a job's key", "environment: production", "continue-on-error: true"],
    ["an action", "actions/setup-node@", "actions/cache@"],
    ["a name", "github.event_name == 'push'", "github.event_nam == 'push'"],
    ["an operator", "github.event_name == 'push'", "github.event_name != 'push'"],
    ["a function", "!cancelled()", "always()"],
  ])("is run by a runner that passes over nothing: %s", async (_, good, bad) => {
    expect(workflow).toContain(good);
    const commit = scratch.git(scratch.origin, "rev-parse", "main");
    const event = { name: "pull_request", number: 7, head: "change", commit } as const;
    const run = runWorkflow(workflow.replace(good, bad), event, secrets, scratch);
    await expect(run).rejects.toThrow("not known here");
  });
});
