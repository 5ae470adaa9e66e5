/** The longest that a call may last from its first byte to its last, as the peer takes it. */
const LONGEST_CALL_MS = 60_000;

const SWEEP_MS = 1000;

/** One call, from its first byte in to its last byte out. */
export interface OpenCall {
  readonly since: number;
  /** Received for it, or waiting to be taken by its peer. */
  bytes: number;
  /** Ends it without waiting for its peer. */
  readonly cut: () => void;
}

/** Why a call was cut: it lasted too long, or all calls together held too much. */
export type CutReason = "slow" | "memory";

/**
 * Bounds what peers can make this process hold: those that send or read slowly,
 * or never. A call is cut after a minute. When all together hold too much, those
 * are cut that hold more than the others, the oldest first.
 */
export class OpenCalls {
  readonly #maxBytes: number;
  readonly #onCut: (reason: CutReason) => void;
  readonly #now: () => number;
  /** In the order of opening. */
  readonly #calls = new Set<OpenCall>();
  readonly #sweep: NodeJS.Timeout;
  #bytes = 0;

  /** @param now milliseconds on any clock that only goes forward */
  constructor(
    maxBytes: number,
    onCut: (reason: CutReason) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#maxBytes = maxBytes;
    this.#onCut = onCut;
    this.#now = now;
    this.#sweep = setInterval(() => this.cutSlow(), SWEEP_MS).unref();
  }

  open(cut: () => void): OpenCall {
    const call = { since: this.#now(), bytes: 0, cut };
    this.#calls.add(call);
    return call;
  }

  /** Counts bytes that a call holds until it is closed. */
  hold(call: OpenCall, bytes: number): void {
    if (!this.#calls.has(call)) return;
    call.bytes += bytes;
    this.#bytes += bytes;
    if (this.#bytes > this.#maxBytes) this.#cutOldest();
  }

  /** It is over; what it held is free. */
  close(call: OpenCall): void {
    if (this.#calls.delete(call)) this.#bytes -= call.bytes;
  }

  /** Cuts the calls that have lasted too long. */
  cutSlow(): void {
    const latest = this.#now() - LONGEST_CALL_MS;
    for (const call of this.#calls) {
      if (call.since > latest) break;
      this.#cut(call, "slow");
    }
  }

  /** Stops looking at the clock. */
  stop(): void {
    clearInterval(this.#sweep);
  }

  /** Of those that hold more than their share; the others would free little. */
  #cutOldest(): void {
    for (const call of this.#calls) {
      if (this.#bytes <= this.#maxBytes) break;
      if (call.bytes * this.#calls.size >= this.#bytes) this.#cut(call, "memory");
    }
  }

  #cut(call: OpenCall, reason: CutReason): void {
    this.close(call);
    call.cut();
    this.#onCut(reason);
  }
}
