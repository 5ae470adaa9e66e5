import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** What the linter must refuse, wherever a file of the folder, or this file, imports it. */
const FORBIDDEN: [place: string, imported: string][] = [
  ["src/core", "kysely"],
  ["src/core", "ioredis"],
  ["src/core", "langfuse"],
  ["src/core", "langsmith"],
  ["src/core", "@bufbuild/protobuf"],
  ["src/core", "../../gen/promptd/v1/prompt_pb.ts"],
  ["src/core", "../store/registry.ts"],
  ["src/core", "../rpc/convert.ts"],
  ["src/core/template", "../../rpc/convert.ts"],
  ["src/core/template", "@huggingface/jinja"],
  ["src/core/template/jinja.ts", "../../rpc/convert.ts"],
  ["src/core/template/jinja.ts", "kysely"],
  ["src/files", "../store/registry.ts"],
  ["src/files", "../sync/folder.ts"],
  ["src/sync", "../sources/langfuse/source.ts"],
  ["src/sync", "../cli/program.ts"],
  ["src/files", "../sync/sync.ts"],
  ["src/store", "../cache/memory.ts"],
  ["src/store", "../rpc/convert.ts"],
  ["src/cache", "../store/registry.ts"],
  ["src/core", "../sources/langfuse/source.ts"],
  ["src/sources/langfuse", "../../store/registry.ts"],
  ["src/sources/langfuse", "../../rpc/convert.ts"],
  ["src/sources/langfuse", "../../http/webhooks.ts"],
  ["src/sources/langfuse", "../langsmith/manifest.ts"],
  ["src/sources/langsmith", "../langfuse/api.ts"],
  ["src/sources", "./langsmith/api.ts"],
  ["src/sources", "../store/registry.ts"],
  ["src/store", "../sources/langfuse/source.ts"],
  ["src/rpc", "../sources/langfuse/source.ts"],
  ["src/http", "../sources/langfuse/webhook.ts"],
  ["src/telemetry", "../http/routes.ts"],
  ["src/tls", "../http/server.ts"],
  ["src/workers", "../runtime.ts"],
  ["src/workers", "../telemetry/metrics.ts"],
  ["src/core", "@opentelemetry/api"],
  ["src/core", "../trace/tracing.ts"],
  ["src/trace", "../store/registry.ts"],
  ["src/trace", "../rpc/convert.ts"],
  ["src/trace", "../sources/langfuse/api.ts"],
  ["src/trace", "../settings.ts"],
  ["src/store", "../trace/tracing.ts"],
  ["src/rpc", "../trace/tracing.ts"],
  ["src/rpc", "../store/registry.ts"],
  ["src/rpc", "../runtime.ts"],
  ["src/rpc/langfuse", "../../store/registry.ts"],
  ["src/rpc/langfuse", "../../http/server.ts"],
  ["src/http", "../rpc/connect.ts"],
  ["src/http", "../tls/certificates.ts"],
  ["src/cli", "../core/resolver.ts"],
  ["src/client", "../store/registry.ts"],
  ["packages/client/src", "../../../src/store/registry.ts"],
  ["packages/client/src", "../../../src/runtime.ts"],
  ["src/client", "../runtime.ts"],
  ["src/client", "../cli/options.ts"],
  ["src/core", "../client/service.ts"],
  ["src/sync", "../client/service.ts"],
  ["src/library", "../store/registry.ts"],
  ["src/library", "../settings.ts"],
  ["src/library", "./prompts/code-prompts.ts"],
  ["src/library/prompts", "../../sync/sync.ts"],
  ["src/library/prompts", "../../files/project.ts"],
  ["src/library/prompts", "../loader.ts"],
  ["src/library/prompts", "../../store/registry.ts"],
  ["src/files", "../client/service.ts"],
  ["src/check", "../sync/sync.ts"],
  ["src/check", "../client/service.ts"],
  ["src/check", "../cli/output.ts"],
  ["src/files", "../check/folder.ts"],
  ["src/core", "../check/folder.ts"],
  ["src/cases", "../sync/sync.ts"],
  ["src/cases", "../check/folder.ts"],
  ["src/cases", "../cli/output.ts"],
  ["src/check", "../cases/folder.ts"],
  ["src/files", "../cases/folder.ts"],
  ["src/core", "../cases/folder.ts"],
  ["src/deploy", "../sync/sync.ts"],
  ["src/deploy", "../rpc/convert.ts"],
  ["src/deploy", "../cli/output.ts"],
  ["src/client", "../deploy/deploy.ts"],
  ["src/files", "../deploy/plan.ts"],
];

const ALLOWED: [place: string, imported: string][] = [
  ["src/core", "node:crypto"],
  ["src/core/template", "../errors.ts"],
  ["src/core/template/jinja.ts", "@huggingface/jinja"],
  ["src/files", "../core/sync/plan.ts"],
  ["src/store", "../core/ports.ts"],
  ["src/sync", "../core/sync/plan.ts"],
  ["src/sync", "../files/naming.ts"],
  ["src/check", "../files/naming.ts"],
  ["src/check", "../core/composition.ts"],
  ["src/cases", "../core/template/compile.ts"],
  ["src/cases", "../files/patch.ts"],
  ["src/cases", "ai"],
  ["src/deploy", "../client/service.ts"],
  ["src/deploy", "../files/naming.ts"],
  ["src/sources/langfuse", "../../core/ports.ts"],
  ["src/sources/langfuse", "langfuse"],
  ["src/trace", "../core/ports.ts"],
  ["src/trace", "@opentelemetry/api"],
  ["src/sources/langsmith", "langsmith"],
  ["src/sources/langsmith", "../mutation.ts"],
  ["src/rpc", "../../gen/promptd/v1/prompt_pb.ts"],
  ["src/cli", "../runtime.ts"],
  ["src/client", "../rpc/convert.ts"],
  ["src/library", "../sources/langfuse/source.ts"],
  ["src/library", "../sync/sync.ts"],
  ["src/library/prompts", "../../client/service.ts"],
  ["src/client", "../../gen/promptd/v1/prompt_pb.ts"],
  ["packages/client/src", "../../../src/core/choice.ts"],
];

let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "promptd-layers-"));
  const rules = JSON.parse(await readFile("biome.json", "utf8"));
  await writeFile(join(project, "biome.json"), JSON.stringify({ ...rules, vcs: {} }));
});

afterAll(() => rm(project, { recursive: true }));

/** @param place a folder, or a file with rules of its own */
async function lintComplains(place: string, imported: string): Promise<boolean> {
  const file = join(project, place.endsWith(".ts") ? place : `${place}/probe.ts`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `import * as probe from "${imported}";\nexport { probe };\n`);
  const args = ["lint", "--only=style/noRestrictedImports", file];
  const { status, stderr } = spawnSync(resolve("node_modules/.bin/biome"), args, {
    cwd: project,
    encoding: "utf8",
  });
  if (status !== 0) expect(stderr).toContain("noRestrictedImports");
  return status !== 0;
}

describe("the linter", () => {
  it.each(FORBIDDEN)("refuses in %s an import of %s", async (place, imported) => {
    expect(await lintComplains(place, imported)).toBe(true);
  });

  it.each(ALLOWED)("allows in %s an import of %s", async (place, imported) => {
    expect(await lintComplains(place, imported)).toBe(false);
  });
});
