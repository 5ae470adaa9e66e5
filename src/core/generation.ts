/** Calls of models that were made with prompts of promptd, as their callers report them. */

import type { Caller } from "./ports.ts";
import type { JsonValue } from "./prompt.ts";
import type { PromptLink } from "./trace-attributes.ts";
import { LIMITS, type Validator } from "./validate.ts";

/** One call of a model. */
export interface Generation {
  /** The answer that it was made with. */
  resolution: PromptLink & {
    /** A UUID (version 7). */
    id: string;
  };
  /** As the provider names it. */
  model: string;
  /** Milliseconds since 1970, with fractions. */
  startedAt: number;
  endedAt: number;
  usage: TokenUsage;
  /** In US dollars. */
  cost?: number;
  /** Why it failed. */
  error?: string;
  scores: readonly Score[];
  /** What the model was sent and what it answered, where the caller wants them kept. */
  input?: JsonValue;
  output?: JsonValue;
  /** Whose trace it belongs to, as W3C Trace Context writes it; absent: that of the call that reports it. */
  traceparent?: string;
  userId?: string;
}

interface TokenUsage {
  input?: number;
  output?: number;
  /** Of the input tokens. */
  cachedInput?: number;
}

/** What somebody thinks of a generation. */
interface Score {
  name: string;
  value: number;
  comment?: string;
}

/** Where generations go. Inputs were validated by the caller. */
export interface GenerationSink {
  /** Returns at once and throws nothing. Each is recorded or dropped. */
  record(caller: Caller, generations: readonly Generation[]): { recorded: number; dropped: number };
}

/** Checks a generation against the limits of the contract. @param field where it stands in the request */
export function checkGeneration(generation: Generation, validator: Validator, field: string): void {
  const { resolution, model, startedAt, endedAt, usage, cost, error = "", scores } = generation;
  const bounded = (text: string, most: number, of: string, least = 0) => {
    const bytes = Buffer.byteLength(text);
    const holds = bytes >= least && bytes <= most && text.isWellFormed();
    validator.require(holds, `${field}.${of}`, `expected ${least} to ${most} bytes of text`);
  };
  validator.uuid(resolution.id, `${field}.resolution.id`);
  validator.name(resolution.name, `${field}.resolution.name`);
  const { version, label, rollout } = resolution;
  if (version !== undefined) validator.version(version, `${field}.resolution.version`);
  if (label !== undefined) validator.label(label, `${field}.resolution.label`);
  if (rollout !== undefined) {
    validator.label(rollout.arm, `${field}.resolution.arm`);
    validator.require(
      Number.isSafeInteger(rollout.revision) && rollout.revision > 0,
      `${field}.resolution.rollout_revision`,
      "expected the revision of the rollout whose arm is named",
    );
  }
  bounded(model, LIMITS.modelBytes, "model", 1);
  validator.require(startedAt > 0, `${field}.start_time`, "expected a time after 1970");
  validator.require(
    endedAt >= startedAt,
    `${field}.end_time`,
    "expected no time before start_time",
  );
  for (const [kind, tokens] of Object.entries(usage)) {
    const name = { input: "input", output: "output", cachedInput: "cached_input" }[kind];
    const holds = Number.isSafeInteger(tokens);
    validator.require(holds, `${field}.usage.${name}_tokens`, "expected less than 2^53");
  }
  const costHolds = cost === undefined || (cost >= 0 && Number.isFinite(cost));
  validator.require(costHolds, `${field}.cost_usd`, "expected 0 or more");
  bounded(error, LIMITS.errorBytes, "error");
  checkScores(scores, validator, `${field}.scores`);
  for (const of of ["input", "output"] as const) {
    const value = generation[of];
    if (value === undefined || !validator.json(value, `${field}.${of}`)) continue;
    bounded(JSON.stringify(value), LIMITS.recordedBytes, of);
  }
  bounded(generation.traceparent ?? "", LIMITS.traceparentBytes, "traceparent");
  validator.userId(generation.userId ?? "", `${field}.user_id`);
}

function checkScores(scores: readonly Score[], validator: Validator, field: string): void {
  if (!validator.count(scores.length, LIMITS.scores, field)) return;
  scores.forEach(({ name, value, comment = "" }, index) => {
    validator.tag(name, `${field}[${index}].name`);
    validator.require(Number.isFinite(value), `${field}[${index}].value`, "expected a number");
    validator.message(comment, `${field}[${index}].comment`);
  });
  const names = new Set(scores.map(({ name }) => name));
  validator.require(names.size === scores.length, field, "expected each name once");
}
