import { execFile, execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let project: string;

const tsc = (...args: string[]) =>
  execFileSync(resolve("node_modules/.bin/tsc"), args, { encoding: "utf8" });

/** A program that has installed the package. */
beforeAll(async () => {
  service = await startService();
  project = await mkdtemp(join(tmpdir(), "promptd-package-"));
  const installed = join(project, "node_modules/promptd");
  await mkdir(installed, { recursive: true });
  await cp("package.json", join(installed, "package.json"));
  await symlink(resolve("node_modules"), join(installed, "node_modules"));
  await symlink(resolve("node_modules/@types"), join(project, "node_modules/@types"));
  tsc("-p", "tsconfig.build.json", "--outDir", join(installed, "dist"));
  await writeFile(join(project, "package.json"), '{"type": "module"}');
});

afterAll(async () => {
  await service.close();
  await rm(project, { recursive: true });
});

it("can be used by another program, with its types", async () => {
  const compilerOptions = {
    target: "es2022",
    module: "nodenext",
    strict: true,
    types: ["node"],
    outDir: "out",
    rootDir: ".",
  };
  await writeFile(
    join(project, "tsconfig.json"),
    JSON.stringify({ compilerOptions, include: ["*.ts"] }),
  );
  await writeFile(
    join(project, "program.ts"),
    `import { loadProject, loadPrompt, openPromptd, type RunReport, Sync } from "promptd/sync";

const address = process.argv[2] as string;
const { folder, naming } = await loadProject();
const remote = await openPromptd({ address, timeoutMs: 10_000, tls: {} });
const sync = new Sync({ folder, naming, remote });
await sync.init();
const report: RunReport = await sync.pull();
remote.close();
const { body, version, from } = await loadPrompt("a", { address });
// @ts-expect-error where nobody knows the version, there is none
const known: number = version;
console.log(JSON.stringify({ pulled: report.summary.pulled, text: body.template, known, from }));
`,
  );
  tsc("-p", project);
  await mkdir(join(project, "prompts"));
  const template = { case: "text", value: "one" } as const;
  await service.prompts.createVersion({ name: "a", template });
  const args = ["out/program.js", service.runtime.grpcAddress];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: project });
  expect(JSON.parse(stdout)).toEqual({ pulled: 1, text: "one", known: 1, from: "service" });
});
