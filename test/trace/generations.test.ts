import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  RecordGenerationsRequestSchema,
  TraceService,
} from "../../gen/promptd/v1/trace_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";
import { type Collector, startCollector } from "./collector.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const OF_CALL = `00-${TRACE}-00f067aa0ba902b7-01`;
const OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const ID = "0198c0de-0000-7000-8000-000000000000";

const PLAIN = {
  resolution: { id: ID, name: "support/reply", version: 3 },
  model: "gpt-5",
  startTime: "2026-11-21T10:00:00Z",
  endTime: "2026-11-21T10:00:01.5Z",
};

let collector: Collector;
let service: TestService;
let traces: Client<typeof TraceService>;

beforeAll(async () => {
  collector = await startCollector();
  service = await startService({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  traces = tracesOf(service);
});

afterEach(() => {
  collector.spans.length = 0;
});

afterAll(async () => {
  await service.close();
  await collector.close();
});

function tracesOf({ grpcPort }: TestService) {
  return createClient(
    TraceService,
    createGrpcTransport({ baseUrl: `http://127.0.0.1:${grpcPort}` }),
  );
}

function record(generations: JsonValue[], headers: Record<string, string> = {}, client = traces) {
  const request = fromJson(RecordGenerationsRequestSchema, { generations });
  return client.recordGenerations(request, { headers });
}

describe("a recorded generation", () => {
  it("is a span of its own that links to the prompt version", async () => {
    const generation = {
      ...PLAIN,
      resolution: {
        ...PLAIN.resolution,
        label: "production",
        reason: "REASON_SPLIT",
        arm: "canary",
        rolloutRevision: "42",
      },
      usage: { inputTokens: "120", outputTokens: "30", cachedInputTokens: "100" },
      costUsd: 0.0125,
      scores: [{ name: "helpful", value: 0.8, comment: "short" }],
      input: [{ role: "user", content: "Where is my order?" }],
      output: "On its way.",
      userId: "user-1",
    };
    expect(await record([generation], { traceparent: OF_CALL })).toMatchObject({
      recorded: 1,
      dropped: 0,
    });
    const [span] = await collector.received(1);
    expect(span).toMatchObject({
      traceId: TRACE,
      parentSpanId: "00f067aa0ba902b7",
      name: "chat gpt-5",
      kind: 3,
      start: 1795255200000000000n,
      end: 1795255201500000000n,
      status: { code: 0 },
    });
    expect(span?.attributes).toEqual({
      "langfuse.observation.type": "generation",
      "langfuse.observation.prompt.name": "support/reply",
      "langfuse.observation.prompt.version": "3",
      "langfuse.observation.model.name": "gpt-5",
      "langfuse.observation.usage_details": '{"input":20,"input_cached_tokens":100,"output":30}',
      "langfuse.observation.cost_details": '{"total":0.0125}',
      "langfuse.observation.input": '[{"role":"user","content":"Where is my order?"}]',
      "langfuse.observation.output": '"On its way."',
      "gen_ai.operation.name": "chat",
      "gen_ai.prompt.name": "support/reply",
      "gen_ai.prompt.version": "3",
      "gen_ai.request.model": "gpt-5",
      "gen_ai.response.model": "gpt-5",
      "gen_ai.usage.input_tokens": 120,
      "gen_ai.usage.output_tokens": 30,
      "gen_ai.usage.cache_read.input_tokens": 100,
      "promptd.label": "production",
      "promptd.arm": "canary",
      "promptd.rollout.revision": "42",
      "promptd.resolution.id": ID,
      "promptd.project": "default",
      "user.hash": expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(span?.events).toEqual([
      {
        name: "gen_ai.evaluation.result",
        attributes: {
          "gen_ai.evaluation.name": "helpful",
          "gen_ai.evaluation.score.value": 0.8,
          "gen_ai.evaluation.explanation": "short",
        },
      },
    ]);
  });

  it("is in the trace that it names, that of the call, or one of its own", async () => {
    const own = { ...PLAIN, traceparent: OWN };
    const unreadable = { ...PLAIN, traceparent: "garbage" };
    await record([PLAIN, own, unreadable], { traceparent: OF_CALL });
    await record([PLAIN]);
    const spans = await collector.received(4);
    const [first, second, third, fourth] = spans.map(({ traceId }) => traceId);
    expect([first, second, third]).toEqual([TRACE, OWN.slice(3, 35), TRACE]);
    expect(fourth).not.toBe(TRACE);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(4);
  });

  it("that failed says why", async () => {
    await record([{ ...PLAIN, error: "the model was overloaded" }]);
    const [span] = await collector.received(1);
    expect(span?.status).toEqual({ code: 2, message: "the model was overloaded" });
    expect(span?.attributes).toMatchObject({
      "error.type": "_OTHER",
      "langfuse.observation.level": "ERROR",
      "langfuse.observation.status_message": "the model was overloaded",
    });
  });

  it("with a fallback file links to nothing", async () => {
    const resolution = { id: ID, name: "support/reply", reason: "REASON_FALLBACK" };
    await record([{ ...PLAIN, resolution }]);
    const [span] = await collector.received(1);
    expect(Object.keys(span?.attributes ?? {}).filter((name) => name.includes("prompt."))).toEqual(
      [],
    );
    expect(span?.attributes["langfuse.observation.type"]).toBe("generation");
  });

  it("is dropped where its trace is not sampled", async () => {
    const unsampled = { ...PLAIN, traceparent: OWN.replace(/01$/, "00") };
    expect(await record([unsampled, PLAIN])).toMatchObject({ recorded: 1, dropped: 1 });
    expect(await collector.received(1)).toHaveLength(1);
  });
});

it("is dropped where traces are sent nowhere", async () => {
  const nowhere = await startService();
  try {
    expect(await record([PLAIN, PLAIN], {}, tracesOf(nowhere))).toMatchObject({
      recorded: 0,
      dropped: 2,
    });
  } finally {
    await nowhere.close();
  }
});

it("is kept where it is in no trace, whatever share of answers is traced", async () => {
  const own = await startService({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    PROMPTD_TRACE_SAMPLING: "0",
  });
  try {
    expect(await record([PLAIN], {}, tracesOf(own))).toMatchObject({ recorded: 1 });
  } finally {
    await own.close();
  }
  expect(collector.spans).toHaveLength(1);
});

it("takes what fills the limits", async () => {
  const large = "x".repeat(128 * 1024 - 2);
  const generation = {
    ...PLAIN,
    model: "m".repeat(200),
    error: "e".repeat(2000),
    scores: Array.from({ length: 20 }, (_, at) => ({ name: `score ${at}`, value: at })),
    input: large,
    output: large,
    userId: "u".repeat(1024),
  };
  expect(await record(Array.from({ length: 15 }, () => generation))).toMatchObject({
    recorded: 15,
  });
  await collector.received(15);
  expect(await record(Array.from({ length: 100 }, () => PLAIN))).toMatchObject({ recorded: 100 });
});

const WRONG: [what: string, generation: Record<string, JsonValue>, field: string][] = [
  ["no resolution", { resolution: {} }, "resolution.id"],
  ["no prompt", { resolution: { id: ID, version: 1 } }, "resolution.name"],
  ["no version", { resolution: { id: ID, name: "support/reply" } }, "resolution.version"],
  [
    "an arm without its rollout",
    { resolution: { ...PLAIN.resolution, arm: "canary" } },
    "resolution.rollout_revision",
  ],
  ["no model", { model: "" }, "model"],
  ["a long model", { model: "m".repeat(201) }, "model"],
  ["an end before the start", { endTime: "2026-11-21T09:59:59Z" }, "end_time"],
  ["too many tokens", { usage: { inputTokens: "9007199254740993" } }, "usage.input_tokens"],
  ["a negative cost", { costUsd: -1 }, "cost_usd"],
  ["a cost that is no number", { costUsd: "NaN" }, "cost_usd"],
  ["a long error", { error: "e".repeat(2001) }, "error"],
  ["a score without a name", { scores: [{ value: 1 }] }, "scores[0].name"],
  ["a score of infinity", { scores: [{ name: "s", value: "Infinity" }] }, "scores[0].value"],
  ["a score twice", { scores: [{ name: "s" }, { name: "s" }] }, "scores"],
  ["21 scores", { scores: Array.from({ length: 21 }, (_, n) => ({ name: `${n}` })) }, "scores"],
  ["a long input", { input: "x".repeat(128 * 1024 - 1) }, "input"],
  ["a long user id", { userId: "u".repeat(1025) }, "user_id"],
  ["a long trace context", { traceparent: "0".repeat(257) }, "traceparent"],
];

it.each(WRONG)("refuses %s, and records none of the request", async (_, wrong, field) => {
  const refusal = await record([PLAIN, { ...PLAIN, ...wrong }]).catch(ConnectError.from);
  expect(refusal).toMatchObject({ code: Code.InvalidArgument });
  expect((refusal as ConnectError).rawMessage).toContain(`generations[1].${field}: `);
});

it("refuses times that are missing, no generations, and more than 100", async () => {
  const { startTime, ...timeless } = PLAIN;
  await expect(record([timeless])).rejects.toThrow("generations[0].start_time");
  await expect(record([])).rejects.toThrow("generations: expected at least 1");
  await expect(record(Array.from({ length: 101 }, () => PLAIN))).rejects.toThrow(
    "expected at most 100, found 101",
  );
});
