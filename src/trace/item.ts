/** What waits to be exported: no more than its span is made of, so that nothing large is held meanwhile. */

import type { SpanContext } from "@opentelemetry/api";
import { parseTraceParent, TraceState } from "@opentelemetry/core";
import type { Answered } from "../core/answered.ts";
import type { Choice } from "../core/choice.ts";
import type { Generation } from "../core/generation.ts";
import type { TraceContext } from "../core/ports.ts";
import { LIMITS } from "../core/validate.ts";

/** A span to be. */
export interface Item {
  traceId: string;
  spanId: string;
  /** Of the caller; absent: the trace begins here. */
  parent: SpanContext | undefined;
  project: string;
  /** Milliseconds since 1970, with fractions. */
  startedAt: number;
  endedAt: number;
  /** As the caller told it; empty: nobody in particular. */
  userId: string;
  what: ResolutionItem | GenerationItem;
  /** About what it weighs. */
  bytes: number;
}

export interface ResolutionItem extends Pick<Choice, "reason" | "rollout"> {
  kind: "resolution";
  /** The resolution's. */
  id: string;
  method: Answered["method"];
  name: string;
  version: number;
  label: string | undefined;
  bucket: number | undefined;
  tier: string;
  stale: boolean;
}

export interface GenerationItem extends Omit<Generation, "input" | "output"> {
  kind: "generation";
  /** As JSON. */
  input: string | undefined;
  output: string | undefined;
}

/** An item beside its texts. */
const ITEM_BYTES = 1024;

/** Longer ones are left out, as OpenTelemetry does. */
const TRACESTATE_CHARACTERS = 512;

export function resolutionItem({ id, method, resolved }: Answered): ResolutionItem {
  const { choice, bucket, tier, stale } = resolved;
  const { answer, asked, reason, rollout } = choice;
  const { name, version } = answer.version;
  const label = "label" in asked ? asked.label : undefined;
  const chosen = { id, method, name, version, label, reason, bucket, tier, stale };
  return { kind: "resolution", ...chosen, ...(rollout && { rollout }) };
}

export function generationItem({ input, output, ...rest }: Generation): GenerationItem {
  return {
    kind: "generation",
    ...rest,
    input: input === undefined ? undefined : JSON.stringify(input),
    output: output === undefined ? undefined : JSON.stringify(output),
  };
}

export function bytesOf(what: Item["what"], userId: string): number {
  const bytes = ITEM_BYTES + 2 * userId.length;
  if (what.kind === "resolution") return bytes;
  const { input = "", output = "", error = "", scores } = what;
  return bytes + 2 * (input.length + output.length + error.length) + scores.length * ITEM_BYTES;
}

/** Whom a call comes from; undefined where it does not say so as W3C Trace Context has it. */
export function parentOf(trace: TraceContext | undefined): SpanContext | undefined {
  if (trace === undefined || trace.traceparent.length > LIMITS.traceparentBytes) return undefined;
  const parent = parseTraceParent(trace.traceparent);
  if (parent === null) return undefined;
  const { tracestate } = trace;
  const told = tracestate !== undefined && tracestate.length <= TRACESTATE_CHARACTERS;
  return { ...parent, isRemote: true, ...(told && { traceState: new TraceState(tracestate) }) };
}
