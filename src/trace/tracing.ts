/** Traces of answers, and of the calls of models that callers report. */

import { type SpanContext, TraceFlags } from "@opentelemetry/api";
import { RandomIdGenerator } from "@opentelemetry/sdk-trace-base";
import type { Answered, AnswerListener } from "../core/answered.ts";
import type { Generation, GenerationSink } from "../core/generation.ts";
import type { Caller } from "../core/ports.ts";
import { bytesOf, generationItem, type Item, parentOf, resolutionItem } from "./item.ts";
import type { Outlet } from "./outlet.ts";

export interface TracingParts {
  outlets: readonly Outlet[];
  /** The share of answers in no trace of their callers that begin one here, 0 to 1. */
  sampling: number;
}

export class Tracing implements AnswerListener, GenerationSink {
  readonly #outlets: readonly Outlet[];
  readonly #sampling: number;
  readonly #ids = new RandomIdGenerator();

  constructor({ outlets, sampling }: TracingParts) {
    this.#outlets = outlets;
    this.#sampling = sampling;
  }

  /** This is the hot path: it decides whether to keep the trace, and puts down what its span needs. */
  answered(answered: Answered): void {
    const { caller, question, startedAt } = answered;
    const parent = parentOf(caller.trace);
    // A trace is kept or dropped as a whole, so who began it decides.
    const kept = parent === undefined ? Math.random() < this.#sampling : isSampled(parent);
    if (!kept) return;
    this.#push(caller, parent, () => {
      const endedAt = performance.timeOrigin + performance.now();
      const { userId = "" } = question;
      return { startedAt, endedAt, userId, what: resolutionItem(answered) };
    });
  }

  record(
    caller: Caller,
    generations: readonly Generation[],
  ): { recorded: number; dropped: number } {
    const ofCall = parentOf(caller.trace);
    let recorded = 0;
    for (const generation of generations) {
      const { traceparent, startedAt, endedAt, userId = "" } = generation;
      const own = traceparent === undefined ? undefined : parentOf({ traceparent });
      const parent = own ?? ofCall;
      // Whoever reports one that is in no trace wants it kept.
      if (parent !== undefined && !isSampled(parent)) continue;
      const span = () => ({ startedAt, endedAt, userId, what: generationItem(generation) });
      if (this.#push(caller, parent, span)) recorded++;
    }
    return { recorded, dropped: generations.length - recorded };
  }

  /** Sends what waits. What has not arrived after so many milliseconds is dropped. */
  async close(limitMs: number): Promise<void> {
    await Promise.all(this.#outlets.map((outlet) => outlet.close(limitMs)));
  }

  /** @returns whether any outlet took it */
  #push(
    { project }: Caller,
    parent: SpanContext | undefined,
    makeSpan: () => Pick<Item, "startedAt" | "endedAt" | "userId" | "what">,
  ): boolean {
    let item: Item | undefined;
    const makeItem = (): Item => {
      item ??= this.#item(project, parent, makeSpan());
      return item;
    };
    let taken = false;
    for (const outlet of this.#outlets) taken = outlet.push(makeItem) || taken;
    return taken;
  }

  /** The same for each outlet. */
  #item(
    project: string,
    parent: SpanContext | undefined,
    span: Pick<Item, "startedAt" | "endedAt" | "userId" | "what">,
  ): Item {
    return {
      ...span,
      traceId: parent?.traceId ?? this.#ids.generateTraceId(),
      spanId: this.#ids.generateSpanId(),
      parent,
      project,
      bytes: bytesOf(span.what, span.userId),
    };
  }
}

function isSampled({ traceFlags }: SpanContext): boolean {
  return (traceFlags & TraceFlags.SAMPLED) !== 0;
}
