import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let folder: string;
/** Of a program that has installed nothing but the package. */
let project: string;

const run = async (program: string, args: readonly string[], cwd?: string) =>
  (await promisify(execFile)(program, args, cwd === undefined ? {} : { cwd })).stdout;

const tsc = (...args: string[]) => run(resolve("node_modules/.bin/tsc"), args);

beforeAll(async () => {
  service = await startService();
  folder = await mkdtemp(join(tmpdir(), "promptd-client-package-"));
  project = await mkdtemp(join(tmpdir(), "promptd-client-program-"));
  for (const file of ["package.json", "README.md"]) {
    await cp(`packages/client/${file}`, join(folder, file));
  }
  await tsc("-p", "packages/client/tsconfig.build.json", "--outDir", join(folder, "dist"));
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", project], folder);
  const [archive] = (await readdir(project)).filter((file) => file.endsWith(".tgz"));
  await writeFile(join(project, "package.json"), '{"type": "module"}');
  const quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"];
  await run("npm", ["install", ...quiet, `./${archive}`], project);
}, 180_000);

afterAll(async () => {
  await service.close();
  for (const each of [folder, project]) await rm(each, { recursive: true, force: true });
});

it("depends on the very versions that promptd is tested with", async () => {
  const read = async (path: string) => JSON.parse(await readFile(path, "utf8"));
  const [own, promptd] = [await read("packages/client/package.json"), await read("package.json")];
  expect(promptd.dependencies).toMatchObject(own.dependencies);
  expect([own.version, own.engines, own.license]).toEqual([
    promptd.version,
    promptd.engines,
    promptd.license,
  ]);
});

it("is installed into an empty folder, and runs there with its types", async () => {
  await service.prompts.createVersion({
    name: "support/triage",
    template: { case: "text", value: "Hello {{who}}" },
    labels: ["production"],
  });
  const compilerOptions = {
    ...{ target: "es2022", module: "nodenext", strict: true, types: ["node"] },
    ...{ outDir: "out", rootDir: "." },
  };
  const config = { compilerOptions, include: ["*.ts"] };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify(config));
  await writeFile(
    join(project, "program.ts"),
    `import { createPromptdClient, PromptdError, type Resolution } from "@promptd/client";

const client = createPromptdClient({ address: process.argv[2] as string, prompts: ["support/triage"] });
await client.ready();
const { text, resolution } = client.compile("support/triage", { userId: "u", variables: { who: "you" } });
// @ts-expect-error where nobody was hashed, there is none
const bucket: number = resolution.bucket;
const told: Resolution = resolution;
let code = "";
try {
  client.get("none");
} catch (thrown) {
  if (thrown instanceof PromptdError) code = thrown.code;
}
await client.close();
console.log(JSON.stringify({ text, version: told.version, bucket, code }));
`,
  );
  // So that what the page shows is what can be written.
  const [, example] = (await readFile("packages/client/README.md", "utf8")).split("```ts\n");
  const span =
    "declare const span: { setAttributes(all: Readonly<Record<string, string>>): void };";
  const code = `${span}\n${example?.split("```")[0]}`;
  expect(code).toContain("createPromptdClient(");
  await writeFile(join(project, "readme.ts"), code);
  await symlink(resolve("node_modules/@types"), join(project, "node_modules/@types"));
  await tsc("-p", project);
  // Nothing but what it was installed with.
  await rm(join(project, "node_modules/@types"));
  const args = ["out/program.js", service.runtime.grpcAddress];
  expect(JSON.parse(await run(process.execPath, args, project))).toEqual({
    ...{ text: "Hello you", version: 1, code: "unavailable" },
  });
});
