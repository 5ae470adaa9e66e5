import { setLangfuseTracerProvider, startObservation } from "@langfuse/tracing";
import { BasicTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { afterAll, beforeAll, expect, it } from "vitest";
import { otlpExporter } from "../../src/trace/otlp.ts";
import { startService, type TestService } from "../support/service.ts";
import { type Collector, startCollector } from "./collector.ts";

let collector: Collector;
let service: TestService;

beforeAll(async () => {
  collector = await startCollector();
  service = await startService({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const template = { case: "text" as const, value: "Hello" };
  await service.prompts.createVersion({ name: "support/reply", template, labels: ["production"] });
  const exporter = otlpExporter({ url: `${collector.url}/v1/traces`, headers: {} });
  const spanProcessors = [new SimpleSpanProcessor(exporter)];
  setLangfuseTracerProvider(new BasicTracerProvider({ spanProcessors }));
});

afterAll(async () => {
  setLangfuseTracerProvider(null);
  await service.close();
  await collector.close();
});

it("lets a generation of Langfuse's own SDK link to the version, in one trace with the answer", async () => {
  const request = startObservation("handle-request");
  const { traceId, spanId } = request.otelSpan.spanContext();
  const headers = { traceparent: `00-${traceId}-${spanId}-01` };
  const { resolution } = await service.prompts.getPrompt({ name: "support/reply" }, { headers });

  const generation = request.startObservation(
    "answer-user",
    { model: "gpt-5" },
    { asType: "generation" },
  );
  generation.otelSpan.setAttributes(resolution?.traceAttributes ?? {});
  generation.end();
  request.end();

  const spans = await collector.received(3);
  const named = (name: string) => spans.find((span) => span.name === name);
  expect(spans.map((span) => span.traceId)).toEqual([traceId, traceId, traceId]);
  expect(named("promptd resolve")).toMatchObject({
    parentSpanId: spanId,
    attributes: { "promptd.resolution.id": resolution?.id },
  });
  expect(named("answer-user")).toMatchObject({
    parentSpanId: spanId,
    attributes: {
      "langfuse.observation.type": "generation",
      "langfuse.observation.model.name": "gpt-5",
      "langfuse.observation.prompt.name": "support/reply",
      "langfuse.observation.prompt.version": "1",
      "gen_ai.prompt.name": "support/reply",
      "gen_ai.prompt.version": "1",
      "promptd.label": "production",
    },
  });
});
