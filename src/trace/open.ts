/** Opens the ways out for traces. Loaded where there are any: it brings OpenTelemetry, and Langfuse's packages where one is told. */

import { detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import type { LangfuseAccess } from "./langfuse-api.ts";
import { OtlpDestination, type OtlpTarget } from "./otlp.ts";
import { type Destination, Outlet, type OutletObserver } from "./outlet.ts";
import type { UserIds } from "./span.ts";
import { Tracing } from "./tracing.ts";

export interface TracingOptions {
  collector: OtlpTarget | undefined;
  langfuse: (LangfuseAccess & { by: "otlp" | "ingestion" }) | undefined;
  /** The share of answers in no trace of their callers that begin one here, 0 to 1. */
  sampling: number;
  userIds: UserIds;
  /** Of promptd. */
  version: string;
  /** Of this process. */
  instanceId: string;
  observer: OutletObserver;
  /** Told when exporting to somewhere begins to fail, and with nothing when it works again. */
  onState: (to: string, fault: unknown) => void;
}

export async function openTracing(options: TracingOptions): Promise<Tracing> {
  const { sampling, observer, onState } = options;
  const outlets = (await destinations(options)).map(
    (destination) =>
      new Outlet({ destination, observer, onState: (fault) => onState(destination.name, fault) }),
  );
  return new Tracing({ outlets, sampling });
}

async function destinations(options: TracingOptions): Promise<Destination[]> {
  const { collector, langfuse, userIds, version, instanceId } = options;
  const own = resourceFromAttributes({
    "service.name": "promptd",
    "service.version": version,
    "service.instance.id": instanceId,
  });
  // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, which win.
  const resource = own.merge(detectResources({ detectors: [envDetector] }));
  const setting = { resource, userIds };
  const found: Destination[] = [];
  if (collector !== undefined) found.push(new OtlpDestination(collector, setting));
  if (langfuse?.by === "otlp") {
    const { LangfuseSpans } = await import("./langfuse-otlp.ts");
    found.push(new LangfuseSpans(langfuse, setting));
  }
  if (langfuse?.by === "ingestion") {
    const { LangfuseEvents } = await import("./langfuse-ingestion.ts");
    found.push(new LangfuseEvents(langfuse, userIds));
  }
  return found;
}
