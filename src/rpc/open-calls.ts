/** The longest that a call may last from its first byte to its last, as the peer takes it. */
const LONGEST_CALL_MS = 60_000;

const SWEEP_MS = 1000;

/** What a call holds before a byte of it was read: the state of its stream or connection. */
const BASE_BYTES = 16 * 1024;

/** One call, from its first byte in to its last byte out. */
export interface OpenCall {
  readonly peer: Peer;
  readonly since: number;
  /** Of its state, received for it, or waiting to be taken. */
  bytes: number;
  /** Ends it without waiting for its peer; nothing once it is over. */
  cut: () => void;
}

const NOTHING = () => {};

/** All that one address has open, in the order of opening. */
interface Peer {
  readonly address: string;
  readonly calls: Set<OpenCall>;
  bytes: number;
}

/** Why a call was cut: it lasted too long, or all calls together held too much. */
export type CutReason = "slow" | "memory";

/**
 * Bounds what peers can make this process hold: those that send or read slowly,
 * or never. A call is cut after a minute. When all together hold too much, the
 * address that holds most loses the oldest of its calls that hold more than its
 * others.
 */
export class OpenCalls {
  readonly #maxBytes: number;
  readonly #onCut: (reason: CutReason) => void;
  readonly #now: () => number;
  readonly #peers = new Map<string, Peer>();
  /** Those that are bounded in time, in the order of opening. */
  readonly #timed = new Set<OpenCall>();
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

  /** What all calls hold together. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @param address of the peer
   * @param cut ends the call without waiting for the peer
   */
  open(address: string, cut: () => void): OpenCall {
    let peer = this.#peers.get(address);
    if (peer === undefined) {
      peer = { address, calls: new Set(), bytes: 0 };
      this.#peers.set(address, peer);
    }
    const call = { peer, since: this.#now(), bytes: 0, cut };
    peer.calls.add(call);
    this.#timed.add(call);
    this.hold(call, BASE_BYTES);
    return call;
  }

  /** Counts bytes that a call holds until it is closed; fewer than none are held no more. */
  hold(call: OpenCall, bytes: number): void {
    const { peer } = call;
    if (!peer.calls.has(call)) return;
    call.bytes += bytes;
    peer.bytes += bytes;
    this.#bytes += bytes;
    while (this.#bytes > this.#maxBytes) this.#cutHeaviest();
  }

  /** Its answer goes on until somebody ends it: it is not bounded in time any more. */
  outlast(call: OpenCall): void {
    this.#timed.delete(call);
  }

  /** It is over; what it held is free. */
  close(call: OpenCall): void {
    const { peer } = call;
    if (!peer.calls.delete(call)) return;
    this.#timed.delete(call);
    // Under load calls grow old before they are collected, and would keep all alive that they hold.
    call.cut = NOTHING;
    peer.bytes -= call.bytes;
    this.#bytes -= call.bytes;
    if (peer.calls.size === 0) this.#peers.delete(peer.address);
  }

  /** Cuts the calls that have lasted too long. */
  cutSlow(): void {
    const latest = this.#now() - LONGEST_CALL_MS;
    for (const call of this.#timed) {
      if (call.since > latest) break;
      this.cut(call, "slow");
    }
  }

  /** Stops looking at the clock. */
  stop(): void {
    clearInterval(this.#sweep);
  }

  #cutHeaviest(): void {
    let heaviest: Peer | undefined;
    for (const peer of this.#peers.values()) {
      if (heaviest === undefined || peer.bytes > heaviest.bytes) heaviest = peer;
    }
    if (heaviest === undefined) return;
    const { calls, bytes } = heaviest;
    for (const call of calls) {
      if (call.bytes * calls.size < bytes) continue;
      this.cut(call, "memory");
      return;
    }
  }

  /** Ends a call without waiting for its peer, and frees what it held. */
  cut(call: OpenCall, reason: CutReason): void {
    const { cut } = call;
    this.close(call);
    cut();
    this.#onCut(reason);
  }
}
