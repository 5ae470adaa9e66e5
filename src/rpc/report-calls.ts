import { create } from "@bufbuild/protobuf";
import {
  type ReportCallsRequest,
  type ReportCallsResponse,
  ReportCallsResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import type { CallCountStore } from "../core/call-counts.ts";
import type { CallCount } from "../core/call-tally.ts";
import { PromptdError } from "../core/errors.ts";
import type { Caller } from "../core/ports.ts";
import type { Resolver } from "../core/resolver.ts";
import { LIMITS, Validator } from "../core/validate.ts";
import { requirePrompt } from "./permissions.ts";

export interface ReportCallsParts {
  /** Tells which versions are there. */
  resolver: Pick<Resolver, "resolve">;
  counts: CallCountStore;
}

/** ReportCalls: what a client has counted that answers from its own memory. */
export async function reportCalls(
  { resolver, counts: store }: ReportCallsParts,
  { writer, batch, counts: reported }: ReportCallsRequest,
  caller: Caller,
): Promise<ReportCallsResponse> {
  const number = Number(batch);
  const validator = new Validator();
  validator.uuid(writer, "writer");
  const isNumber = number >= 1 && Number.isSafeInteger(number);
  validator.require(isNumber, "batch", "expected 1 or more, below 2^53");
  validator.require(reported.length > 0, "counts", "expected at least 1");
  validator.count(reported.length, LIMITS.reportedCalls, "counts");
  validator.done();
  const counts = reported.map(({ name, version, label, arm, calls }): CallCount => {
    return { project: caller.project, name, version, label, arm, calls: Number(calls) };
  });
  counts.forEach((count, index) => {
    validator.calls(count, `counts[${index}]`);
  });
  const different = new Set(counts.map(({ calls, ...by }) => JSON.stringify(by)));
  validator.require(different.size === counts.length, "counts", "expected each once");
  validator.done();
  for (const { name } of counts) requirePrompt(caller, name);
  const found = await Promise.all(counts.map((count) => isThere(resolver, caller, count)));
  const known = counts.filter((_, index) => found[index]);
  // Whoever reports chooses the id: it must not be that of a replica, or of somebody else.
  const own = `${caller.actor} ${writer}`;
  if (known.length > 0) await store.add({ writer: own, number, counts: known });
  return create(ReportCallsResponseSchema);
}

/** What is not there is not counted: a client that is mistaken leaves no rows behind. */
async function isThere(
  resolver: ReportCallsParts["resolver"],
  caller: Caller,
  { name, version }: CallCount,
): Promise<boolean> {
  try {
    await resolver.resolve(caller, { name, selector: { version }, raw: true });
    return true;
  } catch (thrown) {
    if (thrown instanceof PromptdError && thrown.code === "not_found") return false;
    throw thrown;
  }
}
