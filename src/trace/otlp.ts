/** Spans by OTLP/HTTP, as protobuf, to any collector. */

import * as http from "node:http";
import * as https from "node:https";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { createOtlpHttpExportDelegate } from "@opentelemetry/otlp-exporter-base/node-http";
import {
  ProtobufTraceSerializer,
  TraceExporterMetricsHelper,
} from "@opentelemetry/otlp-transformer";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace-base";
import type { Item } from "./item.ts";
import type { Destination } from "./outlet.ts";
import { type SpanSetting, Spans } from "./spans.ts";

/** For one export with all that is tried again within it, in milliseconds: the standard's default. */
const EXPORT_MS = 10_000;

/** Batches that are being sent at once, so that the way to a collector takes no time from the next. */
const CONCURRENCY = 4;

export interface OtlpTarget {
  url: string;
  headers: Readonly<Record<string, string>>;
}

/** An exporter that can be cut off. */
export interface OtlpExporter extends SpanExporter {
  cut(): void;
}

/**
 * OpenTelemetry's exporter, put together of its parts: whole, it would read the
 * environment too, and send a collector's headers to whomever else spans go to.
 */
export function otlpExporter({ url, headers }: OtlpTarget): OtlpExporter {
  const { Agent } = url.startsWith("https:") ? https : http;
  const agent = new Agent({ keepAlive: true });
  const delegate = createOtlpHttpExportDelegate(
    {
      url,
      headers: async () => ({ ...headers, "content-type": "application/x-protobuf" }),
      compression: "none",
      timeoutMillis: EXPORT_MS,
      // Those that were given up may still be there.
      concurrencyLimit: 2 * CONCURRENCY,
      agentFactory: () => agent,
    } as Parameters<typeof createOtlpHttpExportDelegate>[0],
    ProtobufTraceSerializer,
    "otlp_http_span_exporter",
    TraceExporterMetricsHelper,
    undefined,
  );
  return {
    export: (spans: ReadableSpan[], done: (result: ExportResult) => void) =>
      delegate.export(spans, done),
    shutdown: () => delegate.shutdown(),
    cut: () => agent.destroy(),
  };
}

/** A collector. */
export class OtlpDestination implements Destination {
  readonly name = "collector";
  readonly concurrency = CONCURRENCY;
  readonly #spans: Spans;
  readonly #exporter: OtlpExporter;
  #made: ReadableSpan[] = [];

  constructor(target: OtlpTarget, setting: SpanSetting) {
    this.#exporter = otlpExporter(target);
    // OpenTelemetry's batches tell nobody what they drop, so they are made before: see `outlet.ts`.
    this.#spans = new Spans(setting, {
      onStart() {},
      onEnd: (span) => void this.#made.push(span),
      forceFlush: async () => {},
      shutdown: async () => {},
    });
  }

  async send(batch: readonly Item[]): Promise<number> {
    this.#spans.make(batch);
    const spans = this.#made;
    this.#made = [];
    await new Promise<void>((resolve, reject) => {
      this.#exporter.export(spans, ({ code, error }) => {
        if (code === ExportResultCode.SUCCESS) resolve();
        else reject(error ?? new Error("the export failed"));
      });
    });
    return batch.length;
  }

  cut(): void {
    this.#exporter.cut();
  }
}
