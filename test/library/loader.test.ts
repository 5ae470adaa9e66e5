import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { loadPrompt, PromptLoader } from "../../src/library/index.ts";
import { against } from "../cli/promptd.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";

let folder: string;
let data: string;
let service: ServiceProcess;
let address: string;

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), "promptd-loader-data-"));
  folder = await mkdtemp(join(tmpdir(), "promptd-loader-"));
  service = await spawnService({ PROMPTD_DATA_DIR: data });
  address = service.grpcAddress;
});

afterEach(async () => {
  await service.stop("SIGKILL");
  await rm(data, { recursive: true });
  await rm(folder, { recursive: true });
});

async function create(name: string, text: string): Promise<void> {
  const template = { case: "text", value: text } as const;
  await service.prompts.createVersion({ name, template, labels: ["production"] });
}

/** The folder holds what is there. */
async function synced(): Promise<void> {
  const cli = against(address);
  for (const line of ["init --label production", "pull"]) {
    const args = ["sync", ...line.split(" "), "--dir", folder];
    expect(await cli(args)).toMatchObject({ code: 0 });
  }
}

describe("a loader", () => {
  it("tries again where its files for TLS were not there yet", async () => {
    await synced();
    const caCert = join(data, "ca.crt");
    const loader = new PromptLoader({ address, folder, timeoutMs: 10_000, tls: { caCert } });
    onTestFinished(() => loader.close());
    await expect(loader.load("p")).rejects.toMatchObject({ code: "invalid" });
    await writeFile(caCert, rootCertificates[0] ?? "");
    // This service has no TLS.
    await expect(loader.load("p")).rejects.toMatchObject({ code: "unavailable" });
  });

  it("goes on from the folder when the service is killed, with the same answer", async () => {
    await create("parts/tone", "Be kind.");
    await create("triage-bot", "@@@langfusePrompt:name=parts/tone|label=production@@@ Sort it.");
    await synced();
    const loader = new PromptLoader({ address, folder, timeoutMs: 10_000 });
    onTestFinished(() => loader.close());
    const before = await loader.load("triage-bot");
    expect(before).toMatchObject({
      body: { type: "text", template: "Be kind. Sort it." },
      version: 1,
      from: "service",
    });
    await service.stop("SIGKILL");
    expect(await loader.load("triage-bot")).toEqual({ ...before, from: "folder" });

    await writeFile(join(folder, "triage_bot.md"), "edited");
    const edited = await loadPrompt("triage-bot", { address, folder });
    expect(edited).toMatchObject({ body: { template: "edited" }, from: "folder" });
    expect(edited).not.toHaveProperty("version");
  });

  it("does not wait for a service that hangs", async () => {
    await create("a", "one");
    await synced();
    process.kill(service.pid, "SIGSTOP");
    const found = await loadPrompt("a", { address, folder, timeoutMs: 200 });
    expect(found).toMatchObject({ from: "folder", version: 1 });
  });

  it("gives nothing else instead", async () => {
    await create("a", "one");
    await synced();
    const found = (name: string, label?: string) =>
      loadPrompt(name, { address, folder, ...(label !== undefined && { label }) });
    await expect(found("b")).rejects.toMatchObject({ code: "not_found" });
    await service.stop("SIGKILL");
    await expect(found("b")).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining('it has no file of the prompt "b"'),
    });
    await expect(found("a", "staging")).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("it holds label production"),
    });
    await writeFile(join(folder, "a.prompt"), "---\nformat: [\n---\n");
    await expect(found("a")).rejects.toMatchObject({ code: "unavailable" });
  });

  it("says what is wrong with an address", async () => {
    await create("a", "one");
    await synced();
    await expect(loadPrompt("a", { address: "not an address", folder })).rejects.toMatchObject({
      code: "invalid",
    });
  });

  it("gives no merge that is not decided", async () => {
    await create("a", "one");
    await synced();
    await writeFile(join(folder, "a.md"), "here");
    await create("a", "there");
    const args = ["sync", "resolve", "a", "--strategy", "merge", "--dir", folder];
    expect(await against(address)(args)).toMatchObject({ code: 0 });
    await service.stop("SIGKILL");
    await expect(loadPrompt("a", { address, folder })).rejects.toMatchObject({
      message: expect.stringContaining("a.md still has conflict markers"),
    });
  });

  it("needs no folder while the service answers", async () => {
    await create("a", "one");
    const nowhere = join(folder, "nowhere");
    const found = await loadPrompt("a", { address, folder: nowhere, label: "production" });
    expect(found).toMatchObject({ from: "service", version: 1 });
    await expect(loadPrompt("a", { address, folder: nowhere })).rejects.toMatchObject({
      code: "invalid",
    });
    await mkdir(nowhere);
    await expect(loadPrompt("a", { address, folder: nowhere })).rejects.toMatchObject({
      code: "refused",
    });
  });
});
