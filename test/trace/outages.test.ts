import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { MOST_WAITING } from "../../src/trace/outlet.ts";
import { spawnService } from "../support/process.ts";
import { startService, type TestService } from "../support/service.ts";
import { type Collector, startCollector, type Treatment, taken } from "./collector.ts";

const TEXT = { case: "text" as const, value: "Hello" };

let collector: Collector | undefined;
let service: TestService | undefined;

afterEach(async () => {
  await collector?.close();
  await service?.close();
  collector = undefined;
  service = undefined;
});

async function begin(
  treatment: Treatment,
): Promise<{ collector: Collector; service: TestService }> {
  collector = await startCollector();
  collector.treatment = treatment;
  service = await startService({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    PROMPTD_LOG_LEVEL: "info",
  });
  await service.prompts.createVersion({ name: "p", template: TEXT, labels: ["production"] });
  return { collector, service };
}

/** So many answers, in batches that are quick to ask for. */
async function answers({ prompts }: TestService, count: number): Promise<void> {
  const requests = Array.from({ length: 100 }, () => ({ name: "p" }));
  for (let asked = 0; asked < count; asked += 100) {
    const { items } = await prompts.batchGetPrompts({ requests: requests.slice(0, count - asked) });
    expect(items.every(({ result }) => result.case === "response")).toBe(true);
  }
}

/** Spans by what became of them: `exported`, or why they were dropped. */
async function spans({ httpPort }: TestService): Promise<Record<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
  const found = text.matchAll(
    /^promptd_spans_(exported|dropped)_total\{to="collector"(?:,reason="(\w+)")?\} (\d+)$/gm,
  );
  return Object.fromEntries([...found].map(([, what = "", why, n]) => [why ?? what, Number(n)]));
}

const total = (counts: Record<string, number>) =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

/** More than what waits, and what is being sent. */
const FLOOD = MOST_WAITING + 3000;

describe("while the collector", () => {
  const hangs: Treatment = () => {};
  const fails: Treatment = (response) => void response.writeHead(503).end();
  const cuts: Treatment = (response) => void response.socket?.destroy();

  it.each([
    ["hangs", hangs],
    ["answers 503", fails],
    ["cuts its connections", cuts],
  ])("%s, calls are answered, and no more than so many spans wait", async (_, treatment) => {
    const { service } = await begin(treatment);
    await answers(service, FLOOD);
    const { exported = 0, full = 0, failed = 0 } = await spans(service);
    expect(exported).toBe(0);
    // What was not dropped waits, or is being sent.
    expect(FLOOD - full).toBeGreaterThanOrEqual(MOST_WAITING);
    expect(FLOOD - full - failed).toBeLessThanOrEqual(MOST_WAITING + 400);
  });

  it("is down, spans are dropped and counted, and sent again once it is up", async () => {
    const { service, collector } = await begin(taken);
    const port = Number(new URL(collector.url).port);
    await answers(service, 100);
    await collector.received(100);
    await collector.close();
    await answers(service, FLOOD);
    expect((await spans(service)).full).toBeGreaterThan(0);
    const back = await startCollector(port);
    try {
      let counts = await spans(service);
      while (total(counts) < 100 + FLOOD) counts = await spans(service);
      // The exporter tries again by itself: what waited arrives late, and is not lost.
      expect(counts.exported).toBeGreaterThanOrEqual(100 + MOST_WAITING);
      expect(back.spans).toHaveLength((counts.exported ?? 0) - 100);
    } finally {
      await back.close();
    }
  });
});

it("refuses for good: what was refused is counted, and told once", async () => {
  const { service, collector } = await begin((response) => void response.writeHead(400).end("no"));
  await answers(service, 1000);
  let counts = await spans(service);
  while ((counts.failed ?? 0) < 1000) counts = await spans(service);
  expect(counts).toEqual({ failed: 1000 });
  const told = () => service.log.filter((line) => line.includes("traces are"));
  expect(told()).toHaveLength(1);
  collector.treatment = taken;
  await answers(service, 100);
  while ((counts.exported ?? 0) < 100) counts = await spans(service);
  expect(total(counts)).toBe(1100);
  expect(told()).toHaveLength(2);
});

describe("a process that is told to stop", () => {
  const env = async () => ({
    PROMPTD_DATA_DIR: await mkdtemp(join(tmpdir(), "promptd-traces-")),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector?.url ?? "",
    OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20s3cr3t",
    OTEL_SERVICE_NAME: "prompts-of-acme",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
  });

  it("sends what waits before it ends", async () => {
    collector = await startCollector();
    const child = await spawnService(await env());
    await child.prompts.createVersion({ name: "p", template: TEXT, labels: ["production"] });
    const requests = Array.from({ length: 100 }, () => ({ name: "p" }));
    for (let batch = 0; batch < 30; batch++) await child.prompts.batchGetPrompts({ requests });
    await child.prompts.getPrompt({ name: "p" });
    expect(await child.stop("SIGTERM")).toBe(0);
    expect(collector.spans).toHaveLength(3001);
    expect(collector.spans[0]?.resource).toMatchObject({
      "service.name": "prompts-of-acme",
      "deployment.environment.name": "test",
    });
    expect(JSON.stringify(child.log)).not.toContain("s3cr3t");
  });

  it("ends also where the collector hangs", async () => {
    collector = await startCollector();
    collector.treatment = () => {};
    const child = await spawnService(await env());
    await child.prompts.createVersion({ name: "p", template: TEXT, labels: ["production"] });
    await child.prompts.getPrompt({ name: "p" });
    await collector.received(1);
    expect(await child.stop("SIGTERM")).toBe(0);
    expect(child.log.at(-1)).toMatchObject({ msg: "stopped" });
  });
});
