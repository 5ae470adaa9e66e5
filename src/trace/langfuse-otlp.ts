/** Traces to a Langfuse from its fourth version on: spans by OTLP, and scores beside them. */

import { LangfuseSpanProcessor } from "@langfuse/otel";
import type { Item } from "./item.ts";
import { type LangfuseAccess, LangfuseIngestion, scoreEvents } from "./langfuse-api.ts";
import { type OtlpExporter, otlpExporter } from "./otlp.ts";
import { BATCH, type Destination } from "./outlet.ts";
import { type SpanSetting, Spans } from "./spans.ts";

export class LangfuseSpans implements Destination {
  readonly name = "langfuse";
  /** What one batch has come to could not be told from the next. */
  readonly concurrency = 1;
  readonly #exporter: OtlpExporter;
  readonly #processor: LangfuseSpanProcessor;
  readonly #spans: Spans;
  readonly #scores: LangfuseIngestion;

  constructor(access: LangfuseAccess, setting: SpanSetting) {
    const { baseUrl, publicKey, secretKey } = access;
    const credentials = Buffer.from(`${publicKey}:${secretKey}`).toString("base64");
    this.#exporter = otlpExporter({
      url: `${baseUrl.replace(/\/+$/, "")}/api/public/otel/v1/traces`,
      headers: {
        authorization: `Basic ${credentials}`,
        // Without it, Langfuse shows them minutes later.
        "x-langfuse-ingestion-version": "4",
      },
    });
    this.#processor = new LangfuseSpanProcessor({
      ...access,
      exporter: this.#exporter,
      // Never of itself: what comes of a batch is heard where it is flushed.
      flushAt: BATCH + 1,
      // Who wants fewer samples fewer.
      shouldExportSpan: () => true,
      mediaUploadEnabled: false,
    });
    this.#spans = new Spans(setting, this.#processor);
    this.#scores = new LangfuseIngestion(access);
  }

  async send(batch: readonly Item[]): Promise<number> {
    this.#spans.make(batch);
    await this.#processor.forceFlush();
    const scored = scoreEvents(batch);
    // The spans have arrived: only those whose scores have not count as not taken.
    const taken = await this.#scores.send(scored).catch(() => new Set<Item>());
    const refused = new Set(scored.map(({ item }) => item)).size - taken.size;
    return batch.length - refused;
  }

  cut(): void {
    this.#exporter.cut();
    this.#scores.cut();
  }
}
