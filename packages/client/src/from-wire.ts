/** What WatchPrompts tells, in the core's words. */

import { timestampDate } from "@bufbuild/protobuf/wkt";
import { TemplateFormat } from "../../../gen/promptd/v1/prompt_pb.ts";
import type {
  BatchItem,
  GetPromptResponse,
  WatchedRollout,
} from "../../../gen/promptd/v1/prompt_service_pb.ts";
import { fromItemError } from "../../../src/client/service.ts";
import { Answer } from "../../../src/core/answer.ts";
import { PromptdError } from "../../../src/core/errors.ts";
import type { PromptBody } from "../../../src/core/prompt.ts";
import type { StandingRollout } from "../../../src/core/rollout/rollout.ts";
import { isTable } from "../../../src/core/rollout/table.ts";
import { loadJinja } from "../../../src/core/template/template.ts";
import { fromBodyFields } from "../../../src/rpc/convert.ts";
import { fromArms, fromRolloutState } from "../../../src/rpc/convert-rollouts.ts";

/** An answer as it was told. */
export interface ToldAnswer {
  answer: Answer;
  /** The service itself could not say whether it still stood. */
  stale: boolean;
  /** How old it was then, in milliseconds. */
  ageMs: number;
}

/** An answer, or why there is none; undefined where it is told later, or has to be asked for. */
export async function toldOf({
  result,
}: Pick<BatchItem, "result">): Promise<ToldAnswer | PromptdError | undefined> {
  if (result.case === "response") return answerOf(result.value);
  const error = fromItemError(result.value?.code, result.value?.message);
  return error.code === "too_large" ? undefined : error;
}

/** @throws internal for what is no answer */
export async function answerOf({ prompt, resolution }: GetPromptResponse): Promise<ToldAnswer> {
  if (prompt === undefined || resolution === undefined) throw incomplete("an answer");
  const { name, version, labels, tags, commitMessage, author, createTime, revision } = prompt;
  const { contentHash, sourceVersion, stale, ageMs } = resolution;
  const body = await bodyOf(prompt);
  const createdAt = createTime === undefined ? new Date(0) : timestampDate(createTime);
  const told = {
    ...{ name, version, type: body.type, contentHash, body, commitMessage, author, createdAt },
    revision: Number(revision),
    labels: Object.freeze(labels),
    tags: Object.freeze(tags),
    // The service tells states apart by itself.
    updatedAt: createdAt,
    ...(sourceVersion !== "" && { sourceVersion }),
  };
  const components = resolution.components.map((component) => ({
    name: component.name,
    version: component.version,
    contentHash: component.contentHash,
  }));
  return { answer: new Answer(told, components, []), stale, ageMs: Number(ageMs) };
}

/** All callers share it, so nobody may change it. */
async function bodyOf(prompt: NonNullable<GetPromptResponse["prompt"]>): Promise<PromptBody> {
  if (prompt.format !== TemplateFormat.JINJA) return frozen(fromBodyFields(prompt));
  await loadJinja();
  const body = fromBodyFields({ ...prompt, format: TemplateFormat.UNSPECIFIED });
  return frozen({ ...body, format: "jinja" });
}

/** Freezes a value with all that is in it. */
export function frozen<Value>(value: Value): Value {
  if (typeof value !== "object" || value === null) return value;
  for (const each of Object.values(value)) frozen(each);
  return Object.freeze(value);
}

/** @throws internal for what splits nobody */
export function rolloutOf({ rollout, buckets }: WatchedRollout): StandingRollout {
  const table = buckets.map(({ start, arm }) => ({ start, arm }));
  if (rollout === undefined || !isTable(table)) throw incomplete("a rollout");
  const state = fromRolloutState(rollout.state, "state");
  if (state === undefined) throw incomplete("a rollout");
  const { name, label, salt, arms, overrides, revision, actor, reason, updateTime } = rollout;
  return {
    ...{ name, label, state, salt, table, actor, reason },
    arms: fromArms(arms, "arms"),
    overrides: new Map(overrides.map(({ userId, arm }) => [userId, arm])),
    revision: Number(revision),
    changedAt: updateTime === undefined ? new Date(0) : timestampDate(updateTime),
  };
}

function incomplete(what: string): PromptdError {
  return new PromptdError("internal", `the service has told ${what} that is incomplete`);
}
