import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  RecordGenerationsRequestSchema,
  TraceService,
} from "../../gen/promptd/v1/trace_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";
import { type Collector, type SeenRequest, startCollector, type Treatment } from "./collector.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const headers = { traceparent: `00-${TRACE}-${PARENT}-01` };
const BASIC = `Basic ${btoa("pk-lf-of-tests:sk-lf-of-tests")}`;

const GENERATION = {
  resolution: {
    id: "0198c0de-0000-7000-8000-000000000000",
    name: "support/reply",
    version: 3,
    label: "production",
  },
  model: "gpt-5",
  startTime: "2026-11-21T10:00:00Z",
  endTime: "2026-11-21T10:00:01.5Z",
  usage: { inputTokens: "120", outputTokens: "30" },
  costUsd: 0.0125,
  scores: [{ name: "helpful", value: 0.8, comment: "short" }],
  input: [{ role: "user", content: "Where is my order?" }],
  error: "the model was overloaded",
};

interface Event {
  id: string;
  type: string;
  body: Record<string, unknown>;
}

let langfuse: Collector;
let service: TestService | undefined;

beforeEach(async () => {
  langfuse = await startCollector();
  langfuse.treatment = ingests();
});

afterEach(async () => {
  await service?.close();
  await langfuse.close();
});

/** Answers as Langfuse does: 207, and a status for each event. */
function ingests(refused: (event: Event) => boolean = () => false): Treatment {
  return (response, request) => {
    if (!request.path.endsWith("/ingestion")) return void response.writeHead(200).end("{}");
    const events = eventsOf([request]);
    const errors = events.filter(refused).map(({ id }) => ({ id, status: 400, message: "no" }));
    const successes = events
      .filter((event) => !refused(event))
      .map(({ id }) => ({ id, status: 201 }));
    response.writeHead(207, { "content-type": "application/json" });
    response.end(JSON.stringify({ successes, errors }));
  };
}

function eventsOf(requests: readonly SeenRequest[]): Event[] {
  return requests
    .filter(({ path }) => path.endsWith("/ingestion"))
    .flatMap(({ body }) => JSON.parse(body.toString()).batch);
}

async function begin(by: "otlp" | "ingestion", env: Record<string, string> = {}) {
  service = await startService({
    PROMPTD_TRACE_LANGFUSE: by,
    LANGFUSE_BASE_URL: langfuse.url,
    LANGFUSE_PUBLIC_KEY: "pk-lf-of-tests",
    LANGFUSE_SECRET_KEY: "sk-lf-of-tests",
    ...env,
  });
  const { prompts, grpcPort } = service;
  const template = { case: "text" as const, value: "Hello" };
  await prompts.createVersion({ name: "support/reply", template, labels: ["production"] });
  const baseUrl = `http://127.0.0.1:${grpcPort}`;
  const traces = createClient(TraceService, createGrpcTransport({ baseUrl }));
  const record = (generations: JsonValue[], options = {}) =>
    traces.recordGenerations(fromJson(RecordGenerationsRequestSchema, { generations }), options);
  return { service, prompts, record };
}

describe("a Langfuse of version 4", () => {
  it("takes answers and generations by OTLP, and scores beside them", async () => {
    const collector = await startCollector();
    const { service, prompts, record } = await begin("otlp", {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: "x-collector-key=collectors-own",
    });
    await prompts.getPrompt({ name: "support/reply" }, { headers });
    await record([GENERATION], { headers });
    // The spans that wait, and the scores after them.
    await service.close();
    const [spans, scores] = langfuse.requests;
    expect(spans).toMatchObject({
      path: "/api/public/otel/v1/traces",
      headers: { authorization: BASIC, "x-langfuse-ingestion-version": "4" },
    });
    expect(spans?.headers).not.toHaveProperty("x-collector-key");
    const [resolution, generation] = langfuse.spans;
    expect(resolution).toMatchObject({ traceId: TRACE, parentSpanId: PARENT });
    expect(resolution?.attributes).toMatchObject({ "langfuse.observation.type": "span" });
    expect(resolution?.attributes).not.toHaveProperty("langfuse.observation.prompt.name");
    expect(generation).toMatchObject({
      traceId: TRACE,
      attributes: {
        "langfuse.observation.type": "generation",
        "langfuse.observation.prompt.name": "support/reply",
        "langfuse.observation.prompt.version": "3",
      },
    });
    expect(scores?.headers.authorization).toBe(BASIC);
    expect(eventsOf(langfuse.requests)).toMatchObject([
      {
        type: "score-create",
        body: {
          traceId: TRACE,
          observationId: generation?.spanId,
          name: "helpful",
          value: 0.8,
          comment: "short",
        },
      },
    ]);
    // The same spans, whoever gets them.
    const ids = (collected: Collector) => collected.spans.map(({ spanId }) => spanId);
    expect(ids(collector)).toEqual(ids(langfuse));
    expect(collector.requests[0]?.headers).not.toHaveProperty("authorization");
    await collector.close();
  });
});

describe("a Langfuse of version 4 that refuses", () => {
  it("has each span counted as such, however many there are", async () => {
    langfuse.treatment = (response) => void response.writeHead(400).end("{}");
    const { service, prompts } = await begin("otlp");
    const requests = Array.from({ length: 50 }, () => ({ name: "support/reply" }));
    for (let batch = 0; batch < 7; batch++) await prompts.batchGetPrompts({ requests });
    const metrics = await metricsWhere(service, /reason="failed"\} 350$/m);
    expect(metrics).not.toContain('promptd_spans_exported_total{to="langfuse"}');
  });
});

describe("an older Langfuse", () => {
  it("takes answers and generations as events, linked to the version", async () => {
    const { service, prompts, record } = await begin("ingestion");
    const { resolution } = await prompts.getPrompt(
      { name: "support/reply", userId: "user-1" },
      { headers },
    );
    await record([GENERATION], { headers });
    await service.close();
    expect(langfuse.requests[0]).toMatchObject({
      path: "/api/public/ingestion",
      headers: { authorization: BASIC },
    });
    const [span, generation, score] = eventsOf(langfuse.requests);
    expect(span).toMatchObject({
      type: "span-create",
      body: {
        traceId: TRACE,
        parentObservationId: PARENT,
        name: "promptd resolve",
        metadata: { id: resolution?.id, name: "support/reply", version: 1, reason: "label" },
      },
    });
    expect(JSON.stringify(span)).not.toContain("user-1");
    expect(generation).toMatchObject({
      type: "generation-create",
      body: {
        traceId: TRACE,
        parentObservationId: PARENT,
        model: "gpt-5",
        promptName: "support/reply",
        promptVersion: 3,
        startTime: "2026-11-21T10:00:00.000Z",
        endTime: "2026-11-21T10:00:01.500Z",
        usageDetails: { input: 120, output: 30 },
        costDetails: { total: 0.0125 },
        input: [{ role: "user", content: "Where is my order?" }],
        level: "ERROR",
        statusMessage: "the model was overloaded",
      },
    });
    expect(score).toMatchObject({
      type: "score-create",
      body: { traceId: TRACE, observationId: generation?.body.id, value: 0.8 },
    });
  });

  it("is told of a trace that begins here, and of no version of a fallback file", async () => {
    const { service, record } = await begin("ingestion");
    const { resolution, ...rest } = GENERATION;
    const file = { id: resolution.id, name: "support/reply", reason: "REASON_FALLBACK" };
    await record([{ ...rest, resolution: file, scores: [] }]);
    await service.close();
    const [trace, generation] = eventsOf(langfuse.requests);
    expect(trace).toMatchObject({ type: "trace-create", body: { id: generation?.body.traceId } });
    expect(generation?.type).toBe("generation-create");
    expect(Object.keys(generation?.body ?? {})).not.toContain("promptName");
    expect(Object.keys(generation?.body ?? {})).not.toContain("promptVersion");
  });

  it("refuses events one by one, and each is counted", async () => {
    langfuse.treatment = ingests(({ body }) => body.model === "refused");
    const { service, record } = await begin("ingestion");
    await record([GENERATION, { ...GENERATION, model: "refused" }, GENERATION], { headers });
    await langfuse.requested(1);
    const metrics = await metricsWhere(service, /^promptd_spans_dropped_total.* \d/m);
    expect(metrics).toContain('promptd_spans_exported_total{to="langfuse"} 2');
    expect(metrics).toContain('promptd_spans_dropped_total{to="langfuse",reason="failed"} 1');
  });
});

/** The metrics, once they are so. */
async function metricsWhere({ httpPort }: TestService, wanted: RegExp): Promise<string> {
  for (;;) {
    const text = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
    if (wanted.test(text)) return text;
  }
}
