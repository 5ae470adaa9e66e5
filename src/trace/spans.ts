/** Makes spans of what has happened, with OpenTelemetry's own tracer. */

import { type HrTime, ROOT_CONTEXT, SpanStatusCode, type Tracer, trace } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import {
  AlwaysOnSampler,
  BasicTracerProvider,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import type { Item } from "./item.ts";
import { spanContent, type UserIds } from "./span.ts";

/** What all spans are made with. */
export interface SpanSetting {
  resource: Resource;
  userIds: UserIds;
}

export class Spans {
  readonly #tracer: Tracer;
  readonly #userIds: UserIds;
  /** Its ids were given when it was put down, so that they are the same in each destination. */
  #item: Item | undefined;

  /** @param processor takes each span once it is made */
  constructor({ resource, userIds }: SpanSetting, processor: SpanProcessor) {
    this.#userIds = userIds;
    const provider = new BasicTracerProvider({
      resource,
      // Who is not sampled has not come so far.
      sampler: new AlwaysOnSampler(),
      idGenerator: {
        generateTraceId: () => this.#item?.traceId ?? "",
        generateSpanId: () => this.#item?.spanId ?? "",
      },
      spanProcessors: [processor],
    });
    this.#tracer = provider.getTracer("promptd");
  }

  make(items: readonly Item[]): void {
    for (const item of items) this.#make(item);
  }

  #make(item: Item): void {
    this.#item = item;
    const { name, kind, attributes, events, error } = spanContent(item, this.#userIds);
    const startTime = hrTime(item.startedAt);
    const endTime = hrTime(item.endedAt);
    const context = item.parent ? trace.setSpanContext(ROOT_CONTEXT, item.parent) : ROOT_CONTEXT;
    const span = this.#tracer.startSpan(name, { kind, attributes, startTime }, context);
    for (const event of events) span.addEvent(event.name, event.attributes, endTime);
    if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
    span.end(endTime);
  }
}

/** A plain number would be taken for one on the clock of `performance`, where it is before the start. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.min(999_999_999, Math.round((ms - seconds * 1000) * 1e6))];
}
