import { TokenBucket } from "limiter";
import { PromptdError, throwIfAborted } from "../core/errors.ts";

export interface CallLimitsOptions {
  /** Calls that run at once. */
  concurrent: number;
  /** Calls that wait for their turn. */
  queued: number;
  /** Calls a second of each key, on average and at once; undefined: any number. */
  keyRate: number | undefined;
}

/** What a caller is told to wait where nobody knows when there will be room. */
const CROWDED_RETRY_MS = 500;

/** What one key may have of all calls that run and wait, so that it leaves room for others. */
const SHARE_OF_ONE_KEY = 0.5;

/** How many calls may run, wait, and come with one key, in this process. */
export class CallLimits {
  readonly #options: CallLimitsOptions;
  #running = 0;
  /** Gives those their turn that wait, in the order of coming. */
  readonly #waiting: (() => void)[] = [];
  /** By key id; as many as there are keys that were used. */
  readonly #buckets = new Map<string, TokenBucket>();
  /** Calls that run or wait, by key id; kept as `#buckets` are. */
  readonly #open = new Map<string, { calls: number }>();

  constructor(options: CallLimitsOptions) {
    this.#options = options;
  }

  /**
   * Runs a call of a key once it is its turn.
   *
   * @throws too_many where too many wait already, of this key or of all; canceled
   * for a caller that is gone by then
   */
  async run<Result>(
    key: string,
    arrival: { readonly signal: AbortSignal },
    call: () => Promise<Result>,
  ): Promise<Result> {
    const { concurrent, queued } = this.#options;
    const open = this.#openOf(key);
    const waits = this.#running >= concurrent;
    if (waits && this.#waiting.length >= queued) {
      throw crowded(`promptd runs ${concurrent} calls and ${queued} wait: try again later`);
    }
    if (waits && open.calls >= (concurrent + queued) * SHARE_OF_ONE_KEY) {
      throw crowded(
        `${open.calls} calls with this key run or wait, its share of all: try again later`,
      );
    }
    open.calls++;
    try {
      // Whose turn ends hands it on, so it is counted already.
      if (waits) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      else this.#running++;
      try {
        if (waits) throwIfAborted(arrival.signal);
        return await call();
      } finally {
        const next = this.#waiting.shift();
        if (next === undefined) this.#running--;
        else next();
      }
    } finally {
      open.calls--;
    }
  }

  #openOf(key: string): { calls: number } {
    let open = this.#open.get(key);
    if (open === undefined) {
      open = { calls: 0 };
      this.#open.set(key, open);
    }
    return open;
  }

  /** Counts a call of a key. @throws too_many */
  spend(key: string): void {
    const rate = this.#options.keyRate;
    if (rate === undefined) return;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = new TokenBucket({ bucketSize: rate, tokensPerInterval: rate, interval: "second" });
      bucket.content = rate;
      this.#buckets.set(key, bucket);
    }
    if (bucket.tryRemoveTokens(1)) return;
    const message = `this key may make ${rate} calls a second here, and made more`;
    throw new PromptdError("too_many", message, { retryAfterMs: bucket.getWaitTime(1) });
  }
}

function crowded(message: string): PromptdError {
  return new PromptdError("too_many", message, { retryAfterMs: CROWDED_RETRY_MS });
}
