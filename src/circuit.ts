import {
  BrokenCircuitError,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleWhen,
  type IPolicy,
  retry,
  TaskCancelledError,
  wrap,
} from "cockatiel";
import type { Circuit } from "./core/cache-ports.ts";
import { isUnreachable, PromptdError } from "./core/errors.ts";

const FAILURES = 3;

/** Short, so that answers are fresh soon after all is well again. */
const OPEN_MS = 500;

/** Before a call that failed at once is tried again, in milliseconds. */
const RETRY = { initialDelay: 20, maxDelay: 100 };

export interface CircuitOptions {
  /** How long a call may take, in milliseconds. */
  timeoutMs: number;
  /** How often a call is tried again that failed at once. */
  retries: number;
  /** After so many failures in a row nothing is called for a while. Unset: 3. */
  failures?: number;
  /** So many milliseconds; then one call tries. Unset: half a second. */
  openMs?: number;
  /** Of failures, those that say nothing about other calls. Unset: none. */
  isOfOneCall?: (error: PromptdError) => boolean;
}

/**
 * A circuit breaker around whatever promptd depends on, with a time limit for
 * each call. Only what cannot be reached opens it: that something is not there is
 * an answer.
 */
export class Breaker implements Circuit {
  readonly #name: string;
  readonly #timeoutMs: number;
  readonly #policy: IPolicy;
  readonly #breaker;
  #fault: PromptdError | undefined;

  /** @param name as errors and metrics call what is behind it */
  constructor(
    name: string,
    { timeoutMs, retries, failures = FAILURES, openMs = OPEN_MS, isOfOneCall }: CircuitOptions,
  ) {
    this.#name = name;
    this.#timeoutMs = timeoutMs;
    this.#breaker = circuitBreaker(
      handleWhen((error) => isFault(error) && !isOfOneCall?.(PromptdError.from(error))),
      {
        breaker: new ConsecutiveBreaker(failures),
        halfOpenAfter: openMs,
      },
    );
    const again = retry(handleWhen(isWorthRetrying), {
      maxAttempts: retries,
      backoff: new ExponentialBackoff(RETRY),
    });
    this.#policy = wrap(again, this.#breaker);
  }

  get name(): string {
    return this.#name;
  }

  /** Whether calls go through; else they fail at once, but for one that tries. */
  get closed(): boolean {
    return this.#breaker.state === CircuitState.Closed;
  }

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    // While one call tries, the others would wait for what comes of it.
    if (this.#breaker.state === CircuitState.HalfOpen) throw this.#unavailable();
    try {
      return await this.#policy.execute(() => inTime(this.#timeoutMs, work));
    } catch (thrown) {
      if (thrown instanceof BrokenCircuitError) throw this.#unavailable();
      if (thrown instanceof TaskCancelledError) {
        const message = `${this.#name} did not answer within ${this.#timeoutMs} ms`;
        this.#fault = new PromptdError("unavailable", message);
        throw this.#fault;
      }
      if (isUnreachable(thrown)) this.#fault = thrown as PromptdError;
      throw thrown;
    }
  }

  /** What the last call failed with. */
  #unavailable(): PromptdError {
    return this.#fault ?? new PromptdError("unavailable", `${this.#name} cannot be reached`);
  }
}

/** Not cockatiel's, which aborts a signal for each call that ends. @throws TaskCancelledError */
async function inTime<Result>(ms: number, work: () => Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TaskCancelledError()), ms);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

function isFault(error: Error): boolean {
  return isUnreachable(error) || error instanceof TaskCancelledError;
}

/** What says itself when to come again is not asked before. */
function isWorthRetrying(error: Error): boolean {
  return isUnreachable(error) && (error as PromptdError).retryAfterMs === undefined;
}
