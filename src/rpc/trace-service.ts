import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type Resolution, Resolution_Reason } from "../../gen/promptd/v1/prompt_pb.ts";
import {
  type Generation as GenerationMessage,
  RecordGenerationsResponseSchema,
  type TraceService,
} from "../../gen/promptd/v1/trace_service_pb.ts";
import { checkGeneration, type Generation, type GenerationSink } from "../core/generation.ts";
import { LIMITS, Validator } from "../core/validate.ts";
import { fromValue } from "./convert.ts";
import { requirePrompt } from "./permissions.ts";
import type { Implementation } from "./served.ts";

/** TraceService on what takes generations in. */
export function traceService(sink: GenerationSink): Implementation<typeof TraceService> {
  return {
    async recordGenerations({ generations: messages }, caller) {
      const validator = new Validator();
      validator.require(messages.length > 0, "generations", "expected at least 1");
      validator.count(messages.length, LIMITS.generations, "generations");
      validator.done();
      const generations = messages.map((message, index) => {
        const field = `generations[${index}]`;
        const generation = fromGeneration(message, field);
        checkGeneration(generation, validator, field);
        return generation;
      });
      validator.done();
      for (const { resolution } of generations) requirePrompt(caller, resolution.name);
      return create(RecordGenerationsResponseSchema, sink.record(caller, generations));
    },
  };
}

/** @throws invalid for what is no JSON */
function fromGeneration(message: GenerationMessage, field: string): Generation {
  const { usage, costUsd, error, input, output, traceparent, userId } = message;
  return {
    resolution: fromResolution(message.resolution),
    model: message.model,
    startedAt: fromTime(message.startTime),
    endedAt: fromTime(message.endTime),
    usage: {
      ...fromTokens("input", usage?.inputTokens),
      ...fromTokens("output", usage?.outputTokens),
      ...fromTokens("cachedInput", usage?.cachedInputTokens),
    },
    ...(costUsd !== undefined && { cost: costUsd }),
    ...(error !== "" && { error }),
    scores: message.scores.map(({ name, value, comment }) => ({
      name,
      value,
      ...(comment !== "" && { comment }),
    })),
    ...(input && { input: fromValue(input, `${field}.input`) }),
    ...(output && { output: fromValue(output, `${field}.output`) }),
    ...(traceparent !== "" && { traceparent }),
    ...(userId !== "" && { userId }),
  };
}

/** What a generation needs of the answer that it was made with. */
function fromResolution(resolution: Resolution | undefined): Generation["resolution"] {
  const { id = "", name = "", version = 0, label = "", arm = "" } = resolution ?? {};
  const isFile = version === 0 && resolution?.reason === Resolution_Reason.FALLBACK;
  return {
    id,
    name,
    ...(!isFile && { version }),
    ...(label !== "" && { label }),
    ...(arm !== "" && { rollout: { arm, revision: Number(resolution?.rolloutRevision) } }),
  };
}

/** Milliseconds since 1970, with fractions; NaN for none. */
function fromTime(time: Timestamp | undefined): number {
  return time === undefined ? Number.NaN : Number(time.seconds) * 1000 + time.nanos / 1e6;
}

function fromTokens(kind: string, tokens: bigint | undefined): Record<string, number> {
  return tokens === undefined ? {} : { [kind]: Number(tokens) };
}
