import { PromptdError } from "../core/errors.ts";

/** What is begun in one turn is held until its end: about 20 KB a call. */
const MOST = 4096;

/** What one address may have of them, so that it leaves room for others. */
const MOST_OF_ONE_ADDRESS = 2048;

/** What a caller is told to wait. */
const RETRY_MS = 500;

/**
 * Bounds the calls that begin in one turn of the event loop. A turn reads from
 * every connection before any call is over, so that under a flood each turn would
 * take longer and hold more than the one before.
 */
export class CallsPerTurn {
  readonly #ofAddress = new Map<string, number>();
  #begun = 0;

  /** Whether one more of an address may begin; then it counts. */
  begin(address: string): boolean {
    const own = this.#ofAddress.get(address) ?? 0;
    if (this.#begun >= MOST || own >= MOST_OF_ONE_ADDRESS) return false;
    if (this.#begun++ === 0) setImmediate(this.#nextTurn);
    this.#ofAddress.set(address, own + 1);
    return true;
  }

  readonly #nextTurn = (): void => {
    this.#begun = 0;
    this.#ofAddress.clear();
  };
}

/** Why a call may not begin. */
export function crowded(): PromptdError {
  const message = "more calls came at once than promptd begins at once: try again later";
  return new PromptdError("too_many", message, { retryAfterMs: RETRY_MS });
}
