/** Wires where traces are sent. */

import type { Logger } from "pino";
import type { AnswerListener } from "./core/answered.ts";
import type { GenerationSink } from "./core/generation.ts";
import { langfuseOf } from "./langfuse-source.ts";
import type { Settings } from "./settings.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import { packageVersion } from "./version.ts";

/** Takes in what is traced. */
export interface Traces {
  listeners: AnswerListener[];
  generations: GenerationSink;
  /** Sends what waits. What has not arrived after so many milliseconds is dropped. */
  close(limitMs: number): Promise<void>;
}

const NOWHERE: Traces = {
  listeners: [],
  generations: { record: (_, { length }) => ({ recorded: 0, dropped: length }) },
  close: async () => {},
};

export async function openTraces(
  settings: Settings,
  instanceId: string,
  metrics: Metrics,
  log: Logger,
): Promise<Traces> {
  const url = tracesUrl(settings);
  const { traceLangfuse: by, traceSampling, traceUserIds, otlpHeaders = {} } = settings;
  const langfuse = by === "off" ? undefined : langfuseOf(settings);
  if (url === undefined && langfuse === undefined) return NOWHERE;
  // Loaded when it is needed: it brings OpenTelemetry.
  const { openTracing } = await import("./trace/open.ts");
  const tracing = await openTracing({
    collector: url === undefined ? undefined : { url, headers: otlpHeaders },
    langfuse: langfuse && { ...langfuse, by: by === "ingestion" ? "ingestion" : "otlp" },
    sampling: traceSampling,
    userIds: traceUserIds,
    version: packageVersion(),
    instanceId,
    observer: metrics,
    onState: (to, fault) => {
      if (fault === undefined) log.info({ to }, "traces are taken again");
      else log.warn({ to, reason: reasonOf(fault) }, "traces are not taken, and dropped");
    },
  });
  return { listeners: [tracing], generations: tracing, close: (ms) => tracing.close(ms) };
}

/** As OpenTelemetry has it: the one for traces is whole, the other one is for all signals. */
function tracesUrl({ otlpEndpoint, otlpTracesEndpoint }: Settings): string | undefined {
  return otlpTracesEndpoint ?? (otlpEndpoint && `${otlpEndpoint.replace(/\/+$/, "")}/v1/traces`);
}

/** Without what was answered, which may quote what was sent. */
function reasonOf(fault: unknown): string {
  const { status, code = status, message } = fault as Record<string, unknown>;
  return [code, message].filter((part) => part !== undefined && part !== "").join(" ");
}
