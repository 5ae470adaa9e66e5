import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Deployed, startDeployed } from "./deployed.ts";
import { type Job, type Pipeline, runPipeline, type Variable } from "./gitlab.ts";
import { BROKEN, CHANGES, FAILING, PROMPTS } from "./prompts.ts";
import { Scratch } from "./scratch.ts";

const PACKAGE = "https://packages.acme.example/promptd.tgz";

// npm is a stand-in that installs nothing: the promptd on PATH is the source's.
describe("docs/ci/gitlab-ci.yml", () => {
  let service: Deployed;
  let scratch: Scratch;
  let text: string;
  let variables: Variable[];

  beforeAll(async () => {
    service = await startDeployed();
    variables = [
      { name: "PROMPTD_READ_KEY", value: service.readKey.secretKey },
      {
        name: "PROMPTD_DEPLOY_KEY",
        value: service.deployKey.secretKey,
        isProtected: true,
        environment: "production",
      },
    ];
    text = service.addressed(readFileSync("docs/ci/gitlab-ci.yml", "utf8"), PACKAGE);
    scratch = new Scratch();
    scratch.standIn("npm", "");
  });

  afterAll(async () => {
    await service.close();
    scratch.remove();
  });

  async function run(pipeline: Pipeline, given = variables): Promise<Record<string, Job>> {
    return runPipeline(text, pipeline, given, scratch);
  }

  const push = (commit: string) => run({ source: "push", branch: "main", commit });

  const merge = (branch: string, given = variables) => {
    const commit = scratch.git(scratch.origin, "rev-parse", branch);
    return run({ source: "merge_request_event", branch, commit }, given);
  };

  const results = (jobs: Record<string, Job>) =>
    Object.entries(jobs).map(([name, { result }]) => `${name} ${result}`);

  // Each goes on where the one before ended.
  it("deploys what is on main", async () => {
    const jobs = await push(scratch.commit("main", PROMPTS));
    expect(results(jobs)).toEqual(["promptd:check success", "promptd:deploy success"]);
    const install = `npm install --global --ignore-scripts ${PACKAGE}`;
    expect(scratch.calls()).toEqual([install, install]);
    expect(await service.served("support/greeting")).toBe("Hi {{name}}.\n");
  });

  it("checks a merge request and plans it, and nothing is deployed", async () => {
    scratch.commit("change", CHANGES);
    const jobs = await merge("change");
    expect(results(jobs)).toEqual(["promptd:check success", "promptd:plan success"]);
    const { out = "", dir = "" } = jobs["promptd:plan"] ?? {};
    expect(out).toMatch(/\+ farewell/);
    expect(JSON.parse(readFileSync(join(dir, "promptd-plan.json"), "utf8"))).toEqual({
      create: 2,
      update: 0,
      delete: 0,
    });
    expect(await service.served("support/greeting")).toBe("Hi {{name}}.\n");
  });

  it("has no key for a fork, and says so", async () => {
    const jobs = await merge("change", []);
    expect(results(jobs)).toEqual(["promptd:check success", "promptd:plan success"]);
    expect(jobs["promptd:plan"]?.out).toMatch(/^Skipped: /m);
  });

  it.each([
    ["a broken prompt", "broken", BROKEN, "prompts/title.md\n  3:1  error"],
    ["a failing test", "failing", FAILING, "prompts/support/greeting.prompt:"],
  ])("stops at %s, and names its line", async (_, branch, files, said) => {
    scratch.commit(branch, files);
    const jobs = await merge(branch);
    expect(results(jobs)).toEqual(["promptd:check failure", "promptd:plan skipped"]);
    expect(jobs["promptd:check"]?.out).toContain(said);
  });

  it("deploys what was merged, and the history says from where", async () => {
    const merged = scratch.merge("change", "main");
    const jobs = await push(merged);
    expect(results(jobs)).toEqual(["promptd:check success", "promptd:deploy success"]);
    expect(await service.served("support/greeting")).toBe("Hello {{name}}!\n");
    expect(await service.served("farewell")).toBe("Goodbye {{name}}\n");
    const [change] = await service.history("support/greeting");
    const job = "https://gitlab.example.com/acme/prompts/-/jobs/42";
    expect(change?.reason).toBe(`deploy ${merged.slice(0, 12)} (main) by Ada Lovelace: ${job}`);
    expect(change?.actor).toBe(service.deployKey.publicKey);
  });
});
