import type { Choice } from "./choice.ts";
import { FALLBACK_VERSION } from "./prompt.ts";

/** The version of a prompt that a call of a model was made with, and how it was chosen. */
export interface PromptLink {
  name: string;
  /** Absent for a fallback file, which is no version. */
  version?: number;
  /** Absent for a version asked for by number. */
  label?: string;
  /** Where the label has one. */
  rollout?: { readonly arm: string; readonly revision: number };
}

/**
 * What a caller sets on the span of its model call. Langfuse links a span to a
 * prompt version by `langfuse.observation.prompt.*`, and only where it takes it for a
 * generation; `gen_ai.prompt.*` are of OpenTelemetry's conventions for generative
 * AI (in development). None for a fallback file.
 */
export function traceAttributes({ answer, asked, rollout }: Choice): Record<string, string> {
  const { name, version } = answer.version;
  return linkAttributes({
    name,
    ...(version !== FALLBACK_VERSION && { version }),
    ...("label" in asked && { label: asked.label }),
    ...(rollout && { rollout }),
  });
}

/** As `traceAttributes`, for a link that came back. */
export function linkAttributes({
  name,
  version,
  label,
  rollout,
}: PromptLink): Record<string, string> {
  if (version === undefined) return {};
  return {
    "langfuse.observation.type": "generation",
    "langfuse.observation.prompt.name": name,
    "langfuse.observation.prompt.version": String(version),
    "gen_ai.prompt.name": name,
    "gen_ai.prompt.version": String(version),
    ...(label !== undefined && { "promptd.label": label }),
    ...(rollout && {
      "promptd.arm": rollout.arm,
      "promptd.rollout.revision": String(rollout.revision),
    }),
  };
}
