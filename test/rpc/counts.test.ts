import { Code } from "@connectrpc/connect";
import { expect, it, onTestFinished, vi } from "vitest";
import { livesIn } from "../langfuse/behind.ts";
import { json, startWithKeys } from "../langfuse/service.ts";
import { tcpProxy } from "../support/faulty-proxy.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { startService, type TestService } from "../support/service.ts";

const label = (value: string) => ({ case: "label" as const, value });
const version = (value: number) => ({ case: "version" as const, value });

/** Counts are written every few seconds. */
const WRITTEN = { timeout: 15_000, interval: 50 };

async function started(env: Record<string, string> = {}): Promise<TestService> {
  const service = await startService(env);
  onTestFinished(() => service.close());
  return service;
}

async function countsOf({ prompts }: TestService, name: string) {
  const { versions } = await prompts.listVersions({ name });
  return versions.map(({ version, calls, callsBy }) => ({
    version,
    calls,
    callsBy: callsBy.map(({ label, arm, calls }) => ({ label, arm, calls })),
  }));
}

async function metricsOf({ httpPort }: TestService): Promise<string> {
  return (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
}

it("ListVersions tells how often each version was the answer, and to what", async () => {
  const service = await started();
  const { prompts, httpPort } = service;
  for (const text of ["one {{x}}", "two {{x}}", "three {{x}}"]) {
    await prompts.createVersion({ name: "p", template: { case: "text", value: text } });
  }
  await prompts.setLabels({ name: "p", moves: [{ label: "production", version: 1 }] });
  expect((await countsOf(service, "p"))[0]).toEqual({ version: 3, calls: 0n, callsBy: [] });

  for (let i = 0; i < 3; i++) await prompts.getPrompt({ name: "p", userId: `u${i}` });
  await prompts.getPrompt({ name: "p", raw: true });
  await prompts.getPrompt({ name: "p", selector: label("latest") });
  await prompts.getPrompt({ name: "p", selector: version(1) });
  await prompts.compile({ name: "p", variables: { x: "y" } });
  await prompts.batchGetPrompts({
    requests: [{ name: "p" }, { name: "gone" }, { name: "p", selector: label("latest") }],
  });
  const byHttp = await fetch(`http://127.0.0.1:${httpPort}/promptd.v1.PromptService/GetPrompt`, {
    ...json("POST", { name: "p", version: 3 }),
  });
  expect(byHttp.status).toBe(200);
  // No answers of these methods.
  await expect(prompts.compile({ name: "p" })).rejects.toThrow("needs a value");
  await expect(prompts.getPrompt({ name: "p", selector: version(9) })).rejects.toThrow();
  expect((await fetch(`http://127.0.0.1:${httpPort}/api/public/v2/prompts/p`)).status).toBe(200);

  const told = [
    {
      version: 3,
      calls: 3n,
      callsBy: [
        { label: "latest", arm: "", calls: 2n },
        { label: "", arm: "", calls: 1n },
      ],
    },
    { version: 2, calls: 0n, callsBy: [] },
    {
      version: 1,
      calls: 7n,
      callsBy: [
        { label: "production", arm: "", calls: 6n },
        { label: "", arm: "", calls: 1n },
      ],
    },
  ];
  await vi.waitFor(async () => expect(await countsOf(service, "p")).toEqual(told), WRITTEN);
  const { versions } = await prompts.listVersions({ name: "p", label: "production" });
  expect(versions.map(({ version, calls }) => [version, calls])).toEqual([[1, 7n]]);

  const metrics = await metricsOf(service);
  for (const line of [
    'promptd_prompt_answers_total{prompt="p",project="default",version="1",label="production",arm=""} 6',
    'promptd_prompt_answers_total{prompt="p",project="default",version="3",label="",arm=""} 1',
    "promptd_unwritten_calls 0",
    "promptd_uncounted_calls_total 0",
  ]) {
    expect(metrics).toContain(`${line}\n`);
  }
});

it.skipIf(postgresUrl === undefined)(
  `counts what lives in a Langfuse, and lists it without the counts while the database is away${postgresUrl === undefined ? SKIPPED_WITHOUT_POSTGRES : ""}`,
  async () => {
    const upstream = await startWithKeys();
    onTestFinished(() => upstream.close());
    const body = { name: "p", prompt: "one", labels: ["production"] };
    expect((await upstream.call("/v2/prompts", json("POST", body))).status).toBe(201);
    const proxy = await tcpProxy(await createDatabase());
    onTestFinished(() => proxy.close());
    const service = await started(livesIn(upstream, { PROMPTD_DATABASE_URL: proxy.url }));
    const { prompts } = service;
    await prompts.getPrompt({ name: "p" });
    const counted = (calls: bigint) => [
      { version: 1, calls, callsBy: [{ label: "production", arm: "", calls }] },
    ];
    const untilCounted = (calls: bigint) =>
      vi.waitFor(async () => expect(await countsOf(service, "p")).toEqual(counted(calls)), WRITTEN);
    await untilCounted(1n);

    proxy.fail("cut");
    expect(await countsOf(service, "p")).toEqual([{ version: 1, calls: 0n, callsBy: [] }]);
    await prompts.getPrompt({ name: "p" });
    expect(await metricsOf(service)).toContain("promptd_unwritten_calls 1\n");
    proxy.fail(undefined);
    await untilCounted(2n);
  },
);

it.skipIf(postgresUrl === undefined)(
  `keeps what it has counted while the database is away${postgresUrl === undefined ? SKIPPED_WITHOUT_POSTGRES : ""}`,
  async () => {
    const proxy = await tcpProxy(await createDatabase());
    onTestFinished(() => proxy.close());
    const service = await started({ PROMPTD_DATABASE_URL: proxy.url });
    const { prompts } = service;
    const template = { case: "text" as const, value: "x" };
    await prompts.createVersion({ name: "p", template, labels: ["production"] });
    await prompts.getPrompt({ name: "p" });
    proxy.fail("cut");
    for (let i = 0; i < 5; i++) await prompts.getPrompt({ name: "p" });
    await expect(prompts.listVersions({ name: "p" })).rejects.toMatchObject({
      code: Code.Unavailable,
    });
    await vi.waitFor(
      () => expect(service.log.join("")).toContain("calls that were counted cannot be written"),
      WRITTEN,
    );
    await prompts.getPrompt({ name: "p" });
    proxy.fail(undefined);
    await vi.waitFor(async () => {
      expect((await countsOf(service, "p"))[0]?.calls).toBe(7n);
    }, WRITTEN);
  },
);
