import { createHash } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { bucketOf } from "../../src/core/rollout/bucket.ts";
import { startService, type TestService } from "../support/service.ts";
import { type Collector, startCollector, taken } from "./collector.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const SAMPLED = `00-${TRACE}-${PARENT}-01`;

const hash = (userId: string) => createHash("sha256").update(userId).digest("hex");

let collector: Collector;
let service: TestService;

beforeAll(async () => {
  collector = await startCollector();
  service = await startService({
    OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`,
    OTEL_EXPORTER_OTLP_HEADERS: "x-collector-key=s3cr3t%20of%20the%20collector,x-tenant=acme",
  });
  const template = { case: "text" as const, value: "Hello {{name}}" };
  await service.prompts.createVersion({ name: "support/reply", template, labels: ["production"] });
});

afterEach(() => {
  collector.spans.length = 0;
  collector.requests.length = 0;
  collector.treatment = taken;
});

afterAll(async () => {
  await service.close();
  await collector.close();
});

function promptsOver(transport: "gRPC" | "Connect") {
  return createClient(
    PromptService,
    transport === "gRPC"
      ? createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}` })
      : createConnectTransport({
          baseUrl: `http://127.0.0.1:${service.httpPort}`,
          httpVersion: "1.1",
        }),
  );
}

it("tells of a rollout's split and overrides as of a feature flag's", async () => {
  const name = "support/split";
  for (const value of ["one", "two"]) {
    await service.prompts.createVersion({
      name,
      template: { case: "text", value },
      labels: value === "one" ? ["production"] : [],
    });
  }
  const target = { case: "version", value: 2 } as const;
  const { rollout } = await service.rollouts.setRollout({
    name,
    definition: {
      arms: [{ name: "canary", target, weight: 10_000 }],
      overrides: [{ userId: "tester", arm: "control" }],
    },
  });
  const revision = String(rollout?.revision);
  for (const userId of ["José", "tester", ""]) {
    await service.prompts.getPrompt({ name, userId }, { headers: { traceparent: SAMPLED } });
  }
  const [split, override, nobody] = await collector.received(3);
  const flag = {
    "feature_flag.key": `${name}@production`,
    "feature_flag.provider.name": "promptd",
    "feature_flag.set.id": "default",
    "feature_flag.version": revision,
  };
  expect(split).toMatchObject({
    parentSpanId: PARENT,
    attributes: {
      "gen_ai.prompt.version": "2",
      "promptd.reason": "split",
      "promptd.arm": "canary",
      "promptd.bucket": bucketOf(name, "José"),
      "promptd.rollout.revision": revision,
    },
    events: [
      {
        name: "feature_flag.evaluation",
        attributes: {
          ...flag,
          "feature_flag.result.variant": "canary",
          "feature_flag.result.reason": "split",
          "feature_flag.context.id": hash("José"),
        },
      },
    ],
  });
  expect(override).toMatchObject({
    attributes: { "gen_ai.prompt.version": "1", "promptd.reason": "override" },
    events: [
      {
        attributes: {
          ...flag,
          "feature_flag.result.variant": "control",
          "feature_flag.result.reason": "targeting_match",
        },
      },
    ],
  });
  expect(nobody).toMatchObject({ attributes: { "promptd.arm": "control" }, events: [] });
});

describe.each(["gRPC", "Connect"] as const)("an answer over %s", (transport) => {
  it("is a span in its caller's trace", async () => {
    const began = BigInt(Date.now()) * 1_000_000n;
    const { resolution } = await promptsOver(transport).getPrompt(
      { name: "support/reply", userId: "José" },
      { headers: { traceparent: SAMPLED, tracestate: "vendor=value" } },
    );
    const [span] = await collector.received(1);
    expect(span).toMatchObject({
      traceId: TRACE,
      parentSpanId: PARENT,
      traceState: "vendor=value",
      name: "promptd resolve",
      kind: 2,
      status: { code: 0 },
      events: [],
    });
    expect(span?.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(span?.attributes).toEqual({
      "rpc.method": "promptd.v1.PromptService/GetPrompt",
      "langfuse.observation.type": "span",
      "gen_ai.prompt.name": "support/reply",
      "gen_ai.prompt.version": "1",
      "promptd.label": "production",
      "promptd.reason": "label",
      "promptd.tier": expect.stringMatching(/^(source|memory)$/),
      "promptd.stale": false,
      "promptd.project": "default",
      "promptd.resolution.id": resolution?.id,
      "user.hash": hash("José"),
    });
    expect(span?.resource).toMatchObject({
      "service.name": "promptd",
      "service.version": expect.stringMatching(/^\d+\.\d+\.\d+$/),
      "service.instance.id": expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    // The clocks of Date and performance are a millisecond apart at most.
    expect((span?.start ?? 0n) + 2_000_000n).toBeGreaterThan(began);
    expect(span?.end).toBeGreaterThan(span?.start ?? 0n);
    const [request] = collector.requests;
    expect(request?.path).toBe("/v1/traces");
    expect(request?.headers).toMatchObject({
      "content-type": "application/x-protobuf",
      "x-collector-key": "s3cr3t of the collector",
      "x-tenant": "acme",
    });
  });

  it("begins a trace where the caller has none, or one that nobody can read", async () => {
    const prompts = promptsOver(transport);
    const unreadable = [
      {},
      { traceparent: "" },
      { traceparent: "garbage" },
      { traceparent: `ff-${TRACE}-${PARENT}-01` },
      { traceparent: `00-${"0".repeat(32)}-${PARENT}-01` },
      { traceparent: `00-${TRACE.toUpperCase()}-${PARENT}-01` },
      { traceparent: `01-${TRACE}-${PARENT}-01-${"x".repeat(300)}` },
      { tracestate: "vendor=value" },
    ];
    for (const headers of unreadable)
      await prompts.getPrompt({ name: "support/reply" }, { headers });
    const spans = await collector.received(unreadable.length);
    expect(spans.map(({ parentSpanId }) => parentSpanId)).toEqual(unreadable.map(() => ""));
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(unreadable.length);
    expect(spans.some(({ traceId }) => traceId === TRACE)).toBe(false);
  });

  it("is no span in a trace that is not sampled", async () => {
    const prompts = promptsOver(transport);
    const unsampled = `00-${TRACE}-${PARENT}-00`;
    await prompts.getPrompt({ name: "support/reply" }, { headers: { traceparent: unsampled } });
    await prompts.getPrompt(
      { name: "support/reply", userId: "after" },
      { headers: { traceparent: SAMPLED } },
    );
    const spans = await collector.received(1);
    expect(spans.map(({ attributes }) => attributes["user.hash"])).toEqual([hash("after")]);
  });
});

it("has a span for each answer of a batch, and for compiled ones", async () => {
  const headers = { traceparent: SAMPLED };
  const version = { case: "version" as const, value: 1 };
  await service.prompts.batchGetPrompts(
    {
      requests: [
        { name: "support/reply" },
        { name: "gone" },
        { name: "support/reply", selector: version },
      ],
    },
    { headers },
  );
  await service.prompts.compile(
    { name: "support/reply", variables: { name: "value of a variable" } },
    { headers },
  );
  const spans = await collector.received(3);
  const told = spans.map(({ attributes }) => [
    attributes["rpc.method"],
    attributes["promptd.reason"],
    attributes["promptd.label"],
  ]);
  expect(told).toEqual([
    ["promptd.v1.PromptService/BatchGetPrompts", "label", "production"],
    ["promptd.v1.PromptService/BatchGetPrompts", "version", undefined],
    ["promptd.v1.PromptService/Compile", "label", "production"],
  ]);
  expect(Buffer.concat(collector.requests.map(({ body }) => body)).toString()).not.toContain(
    "value of a variable",
  );
});

it("never logs or measures what the collector is told in confidence", async () => {
  collector.treatment = (response, { headers }) =>
    void response.writeHead(400, "no").end(JSON.stringify(headers));
  await service.prompts.getPrompt({ name: "support/reply" });
  await collector.requested(1);
  const metrics = await metricsWhere(/promptd_spans_dropped_total\{[^}]*failed[^}]*\} 1\b/);
  expect(service.log.join("")).toContain("traces are not taken");
  expect(service.log.join("") + metrics).not.toContain("s3cr3t");
});

it("traces no answers but those in sampled traces where the share is 0", async () => {
  const own = await startService({
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/exactly/v1/traces`,
    OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9/nobody",
    PROMPTD_TRACE_SAMPLING: "0",
    PROMPTD_TRACE_USER_IDS: "plain",
  });
  try {
    const template = { case: "text" as const, value: "Hello" };
    await own.prompts.createVersion({ name: "p", template, labels: ["production"] });
    for (let call = 0; call < 20; call++) await own.prompts.getPrompt({ name: "p" });
    await own.prompts.getPrompt(
      { name: "p", userId: "user-1" },
      { headers: { traceparent: SAMPLED } },
    );
  } finally {
    await own.close();
  }
  expect(collector.spans.map(({ attributes }) => attributes["user.id"])).toEqual(["user-1"]);
  expect(collector.requests.map(({ path }) => path)).toEqual(["/exactly/v1/traces"]);
});

async function metricsWhere(wanted: RegExp): Promise<string> {
  for (;;) {
    const text = await (await fetch(`http://127.0.0.1:${service.httpPort}/metrics`)).text();
    if (wanted.test(text)) return text;
  }
}
