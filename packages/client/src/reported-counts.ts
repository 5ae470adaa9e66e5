import type { Service } from "../../../src/client/service.ts";
import type { CallCountStore, CountBatch } from "../../../src/core/call-counts.ts";
import { type ErrorCode, PromptdError } from "../../../src/core/errors.ts";

/** What may go away by itself: the same batch is reported again. */
const PASSING: readonly ErrorCode[] = [
  "unavailable",
  "deadline",
  "canceled",
  "too_many",
  "too_large",
  "unauthenticated",
];

/** Where calls that were answered here are counted: the service, which adds a batch once. */
export class ReportedCounts implements CallCountStore {
  readonly #connect: () => Promise<Service>;
  readonly #onLost: (error: PromptdError) => void;

  constructor(connect: () => Promise<Service>, onLost: (error: PromptdError) => void) {
    this.#connect = connect;
    this.#onLost = onLost;
  }

  /** A batch that the service will never take is given up, so that others may follow. */
  async add({ writer, number, counts }: CountBatch): Promise<void> {
    try {
      const { prompts } = await this.#connect();
      await prompts.reportCalls({
        writer,
        batch: BigInt(number),
        counts: counts.map(({ name, version, label, arm, calls }) => {
          return { name, version, label, arm, calls: BigInt(calls) };
        }),
      });
    } catch (thrown) {
      const error = PromptdError.from(thrown);
      if (PASSING.includes(error.code)) throw error;
      this.#onLost(error);
    }
  }
}
