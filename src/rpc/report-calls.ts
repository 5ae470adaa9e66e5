import { create } from "@bufbuild/protobuf";
import {
  type ReportCallsRequest,
  type ReportCallsResponse,
  ReportCallsResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import { type CallCountLookup, type CallCountStore, MOST_BY } from "../core/call-counts.ts";
import type { CallCount, CountedBy } from "../core/call-tally.ts";
import { PromptdError } from "../core/errors.ts";
import type { Caller } from "../core/ports.ts";
import type { Resolver } from "../core/resolver.ts";
import { LIMITS, Validator } from "../core/validate.ts";
import { requirePrompt } from "./permissions.ts";

export interface CallReportsParts {
  /** Tells which versions are there. */
  resolver: Pick<Resolver, "resolve">;
  counts: CallCountStore & CallCountLookup;
}

/** What is remembered of what was counted before, so that the database is not asked each time. */
const MOST_SEEN = 10_000;

/** What clients have counted that answer from their own memory. */
export class CallReports {
  readonly #parts: CallReportsParts;
  /** Rows that are there, as texts. */
  readonly #seen = new Set<string>();

  constructor(parts: CallReportsParts) {
    this.#parts = parts;
  }

  /** ReportCalls. */
  async add(request: ReportCallsRequest, caller: Caller): Promise<ReportCallsResponse> {
    const { writer, batch } = request;
    const counts = validCounts(request, caller);
    for (const { name } of counts) requirePrompt(caller, name);
    const found = await Promise.all(counts.map((count) => this.#isThere(caller, count)));
    const known = counts.filter((_, index) => found[index]);
    // Whoever reports chooses the id: it must not be that of a replica, or of somebody else.
    const own = `${caller.actor} ${writer}`;
    if (known.length > 0) {
      const bounded = await this.#bounded(caller, known);
      await this.#parts.counts.add({ writer: own, number: Number(batch), counts: bounded });
      for (const count of bounded) this.#see(count);
    }
    return create(ReportCallsResponseSchema);
  }

  /** What is not there is not counted: a client that is mistaken leaves no rows behind. */
  async #isThere(caller: Caller, { name, version }: CountedBy): Promise<boolean> {
    try {
      await this.#parts.resolver.resolve(caller, { name, selector: { version }, raw: true });
      return true;
    } catch (thrown) {
      if (thrown instanceof PromptdError && thrown.code === "not_found") return false;
      throw thrown;
    }
  }

  /**
   * Nobody looks whether a label or an arm was ever there, so a version has a bounded number of
   * these: calls beyond are counted without.
   */
  async #bounded(caller: Caller, counts: readonly CallCount[]): Promise<CallCount[]> {
    const bounded = new Map<string, CallCount>();
    const rows = new Map<string, Set<string>>();
    for (const count of counts) {
      const of = textOf({ ...count, label: "", arm: "" });
      const isNew = !this.#seen.has(textOf(count));
      if (isNew && !rows.has(of)) rows.set(of, await this.#rowsOf(caller, count));
      const there = rows.get(of);
      const fits =
        !isNew || there === undefined || there.has(textOf(count)) || there.size < MOST_BY;
      if (fits) there?.add(textOf(count));
      const by = fits ? count : { ...count, label: "", arm: "" };
      const same = bounded.get(textOf(by));
      bounded.set(textOf(by), { ...by, calls: by.calls + (same?.calls ?? 0) });
    }
    return [...bounded.values()];
  }

  async #rowsOf(caller: Caller, { project, name, version }: CountedBy): Promise<Set<string>> {
    const found = (await this.#parts.counts.of(caller, name, [version])).get(version);
    return new Set(
      (found?.by ?? []).map(({ label, arm }) => textOf({ project, name, version, label, arm })),
    );
  }

  #see(count: CountedBy): void {
    if (this.#seen.size >= MOST_SEEN) this.#seen.clear();
    this.#seen.add(textOf(count));
  }
}

/** @throws invalid */
function validCounts({ writer, batch, counts }: ReportCallsRequest, caller: Caller): CallCount[] {
  const validator = new Validator();
  validator.uuid(writer, "writer");
  const isNumber = batch >= 1n && batch <= Number.MAX_SAFE_INTEGER;
  validator.require(isNumber, "batch", "expected 1 or more, below 2^53");
  validator.require(counts.length > 0, "counts", "expected at least 1");
  validator.count(counts.length, LIMITS.reportedCalls, "counts");
  validator.done();
  const valid = counts.map(({ name, version, label, arm, calls }, index): CallCount => {
    const count = { project: caller.project, name, version, label, arm, calls: Number(calls) };
    validator.calls(count, `counts[${index}]`);
    return count;
  });
  const isEachOnce = new Set(valid.map(textOf)).size === valid.length;
  validator.require(isEachOnce, "counts", "expected each once");
  validator.done();
  return valid;
}

function textOf({ project, name, version, label, arm }: CountedBy): string {
  return JSON.stringify([project, name, version, label, arm]);
}
