/** One way out for traces: what waits for it is bounded, and what it cannot take is dropped and counted. */

import { within } from "../core/within.ts";
import type { Item } from "./item.ts";

/** Where traces are sent. */
export interface Destination {
  /** As metrics and the log name it. */
  readonly name: string;
  /** How many batches it takes at once. */
  readonly concurrency: number;
  /**
   * @returns how many have arrived
   * @throws where none has
   */
  send(batch: readonly Item[]): Promise<number>;
  /** Cuts what is being sent. */
  cut(): void;
}

/** Why a span was not exported: `full`, too many wait; `failed`, not taken; `shutdown`, not taken in time at the end. */
export type DropReason = "full" | "failed" | "shutdown";

export interface OutletObserver {
  exported(to: string, spans: number): void;
  dropped(to: string, reason: DropReason, spans: number): void;
}

export interface OutletParts {
  destination: Destination;
  observer: OutletObserver;
  /** Told when exporting begins to fail, and with nothing when it works again. */
  onState: (fault: unknown) => void;
}

/** More are dropped: about 1.5 seconds of 5,000 calls a second. */
export const MOST_WAITING = 8192;
/** Passed by one item at most. */
const MOST_WAITING_BYTES = 16 * 1024 * 1024;

/** Making and encoding so many takes the event loop 1 to 2 ms, in which no call is answered. */
export const BATCH = 100;

/** Some collectors refuse more than 4 MB. */
const BATCH_BYTES = 2 * 1024 * 1024;

/** What waits is sent after this time at the latest, in milliseconds. */
const DELAY_MS = 500;

/** A destination has its own limit for a request, of 10 s; this is for one that keeps it going. */
const SEND_MS = 15_000;

export class Outlet {
  readonly #parts: OutletParts;
  readonly #waiting: Item[] = [];
  #waitingBytes = 0;
  #sending = 0;
  /** Spans that are being sent. */
  #sendingSpans = 0;
  #timer: NodeJS.Timeout | undefined;
  #pump: NodeJS.Immediate | undefined;
  #failing = false;
  /** Called when nothing waits and nothing is being sent, once it is closed. */
  #onEmpty: (() => void) | undefined;
  #closed = false;
  #givenUp = false;

  constructor(parts: OutletParts) {
    this.#parts = parts;
  }

  /** Takes an item in, unless too many wait. This is the hot path: what is dropped is not even made. */
  push(makeItem: () => Item): boolean {
    if (
      this.#closed ||
      this.#waiting.length >= MOST_WAITING ||
      this.#waitingBytes >= MOST_WAITING_BYTES
    ) {
      this.#dropped(this.#closed ? "shutdown" : "full", 1);
      return false;
    }
    const item = makeItem();
    this.#waiting.push(item);
    this.#waitingBytes += item.bytes;
    this.#schedule();
    return true;
  }

  /** Sends what waits, and takes no more. What has not arrived after so many milliseconds is dropped. */
  async close(limitMs: number): Promise<void> {
    this.#closed = true;
    const empty = new Promise<true>((resolve) => {
      this.#onEmpty = () => resolve(true);
    });
    this.#schedule();
    if (await within(limitMs, empty)) return;
    this.#dropped("shutdown", this.#waiting.length + this.#sendingSpans);
    this.#givenUp = true;
    this.#waiting.length = 0;
    this.#parts.destination.cut();
  }

  #schedule(): void {
    if (this.#waiting.length === 0 && this.#sending === 0) this.#onEmpty?.();
    if (this.#waiting.length === 0 || this.#sending >= this.#parts.destination.concurrency) return;
    if (this.#waiting.length >= BATCH || this.#closed) {
      this.#pump ??= setImmediate(() => {
        this.#pump = undefined;
        void this.#send();
        this.#schedule();
      });
    } else {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        if (this.#sending < this.#parts.destination.concurrency) void this.#send();
      }, DELAY_MS).unref();
    }
  }

  async #send(): Promise<void> {
    const batch = this.#take();
    if (batch.length === 0) return;
    const { destination, observer } = this.#parts;
    this.#sending++;
    this.#sendingSpans += batch.length;
    let arrived = 0;
    try {
      const sent = await within(SEND_MS, destination.send(batch));
      if (sent === undefined) destination.cut();
      arrived = sent ?? 0;
      this.#tell(sent === undefined ? new Error(`no answer within ${SEND_MS} ms`) : undefined);
    } catch (thrown) {
      this.#tell(thrown);
    }
    this.#sending--;
    this.#sendingSpans -= batch.length;
    // They have been counted, whatever became of them.
    if (this.#givenUp) return;
    if (arrived > 0) observer.exported(destination.name, arrived);
    if (arrived < batch.length) this.#dropped("failed", batch.length - arrived);
    this.#schedule();
  }

  #take(): Item[] {
    let count = 0;
    let bytes = 0;
    for (const item of this.#waiting) {
      if (count === BATCH || (count > 0 && bytes + item.bytes > BATCH_BYTES)) break;
      count++;
      bytes += item.bytes;
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  #tell(fault: unknown): void {
    const failing = fault !== undefined;
    if (failing !== this.#failing) this.#parts.onState(fault);
    this.#failing = failing;
  }

  #dropped(reason: DropReason, spans: number): void {
    if (spans > 0) this.#parts.observer.dropped(this.#parts.destination.name, reason, spans);
  }
}
