import { execFile, execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
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

/** Compiles a program and runs it. */
async function run(name: string, text: string, ...args: string[]): Promise<string> {
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
    JSON.stringify({ compilerOptions, files: [`${name}.ts`] }),
  );
  await writeFile(join(project, `${name}.ts`), text);
  tsc("-p", project);
  const program = [`out/${name}.js`, ...args];
  return (await promisify(execFile)(process.execPath, program, { cwd: project })).stdout;
}

it("syncs and loads in another program, with its types", async () => {
  await mkdir(join(project, "prompts"));
  const template = { case: "text", value: "one" } as const;
  await service.prompts.createVersion({ name: "a", template });
  const stdout = await run(
    "program",
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
    service.runtime.grpcAddress,
  );
  expect(JSON.parse(stdout)).toEqual({ pulled: 1, text: "one", known: 1, from: "service" });
});

it("registers the prompts of another program, as its documentation shows", async () => {
  const page = await readFile("docs/code-first.md", "utf8");
  const example = /^```ts\n(.*?)^```$/ms.exec(page)?.[1] ?? "";
  const stdout = await run(
    "registering",
    `${example.replace("127.0.0.1:50051", service.runtime.grpcAddress)}
// @ts-expect-error it is none of those that were registered
await prompts.get("support/other").catch(({ code }) => console.log(code));
console.log(JSON.stringify(await prompts.registered()));
`,
  );
  const [shown, refused, registered = ""] = stdout.split(/\n(?=invalid|\[\{"name")/);
  expect(shown).toContain("code [");
  expect(shown).toContain("You answer for Acme.");
  expect(refused).toBe("invalid");
  expect(JSON.parse(registered)).toEqual([
    { name: "support/triage", created: true, version: 1, mode: "tracking" },
    { name: "support/reply", created: true, version: 1, mode: "tracking" },
  ]);
  const { versions } = await service.prompts.listVersions({ name: "support/reply" });
  expect(versions[0]?.commitMessage).toMatch(/^registered by billing-api/);
});
