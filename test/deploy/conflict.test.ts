import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { run } from "../../src/cli/program.ts";
import { spawnService } from "../support/process.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-deploy-"));
});

afterEach(() => rm(dir, { recursive: true }));

it("what is changed between the plan and its doing is a conflict, and is not overrun", async () => {
  const service = await spawnService({ PROMPTD_DATA_DIR: join(dir, "data") });
  const env = { PROMPTD_ADDRESS: service.grpcAddress };
  const file = join(dir, "prompts", "a.md");
  const other = join(dir, "other.md");
  await writeFile(other, "Einerlei");
  let told = "";
  const deploy = (meanwhile?: string[]) =>
    run(["deploy", "--dir", join(dir, "prompts")], {
      env,
      stdin: (async function* () {})(),
      outClosed: false,
      watched: false,
      out(text) {
        if (!text.startsWith("Plan:") || meanwhile === undefined) return;
        // This process goes on once that is done.
        const args = ["--import", "tsx", "src/main.ts", ...meanwhile];
        execFileSync(process.execPath, args, { env: { PATH: process.env.PATH, ...env } });
      },
      err: (text) => {
        told += text;
      },
      progress: () => {},
    });
  await mkdir(join(dir, "prompts"));
  await writeFile(file, "Zweierlei");
  expect(await deploy()).toBe(0);
  await writeFile(file, "Dreierlei");
  expect(await deploy(["create", "a", other, "--label", "production"])).toBe(4);
  expect(told).toBe(
    "promptd: prompts that failed: 1, that were not tried: 0; what was done stays, run it again\n",
  );
  const { prompt } = await service.prompts.getPrompt({ name: "a" });
  expect(prompt).toMatchObject({ version: 2, template: { value: "Einerlei" } });
  expect(await deploy()).toBe(0);
  const { prompt: after } = await service.prompts.getPrompt({ name: "a" });
  expect(after).toMatchObject({ version: 3, template: { value: "Dreierlei" } });
}, 30_000);
