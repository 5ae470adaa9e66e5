import type { Choice } from "./choice.ts";
import { FALLBACK_VERSION } from "./prompt.ts";

/**
 * What a caller sets on the span of its model call. Langfuse links a span to a
 * prompt version by `langfuse.observation.prompt.*`, and only where it takes it for a
 * generation; `gen_ai.prompt.*` are of OpenTelemetry's conventions for generative
 * AI (in development). None for a fallback file, which is no version.
 */
export function traceAttributes({ answer, asked, rollout }: Choice): Record<string, string> {
  const { name, version } = answer.version;
  if (version === FALLBACK_VERSION) return {};
  return {
    "langfuse.observation.type": "generation",
    "langfuse.observation.prompt.name": name,
    "langfuse.observation.prompt.version": String(version),
    "gen_ai.prompt.name": name,
    "gen_ai.prompt.version": String(version),
    ...("label" in asked && { "promptd.label": asked.label }),
    ...(rollout && {
      "promptd.arm": rollout.arm,
      "promptd.rollout.revision": String(rollout.revision),
    }),
  };
}
