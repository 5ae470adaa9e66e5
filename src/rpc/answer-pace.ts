import { setImmediate } from "node:timers/promises";

/** Smaller answers are not worth to wait with. */
const LARGE_BYTES = 64 * 1024;

/** What large answers may take before the event loop turns. */
const BYTES_PER_TURN = 16 * 2 ** 20;

/**
 * Spreads large answers over turns of the event loop: what was sent, and what
 * was cut because its peer does not take it, is freed only between them.
 */
export class AnswerPace {
  #bytes = 0;
  #turn: Promise<void> | undefined;

  /** Waits until an answer of so many bytes may be made; undefined where it may be now. */
  wait(bytes: number): Promise<void> | undefined {
    if (bytes < LARGE_BYTES) return undefined;
    if (this.#bytes > BYTES_PER_TURN) return this.#waitForTurns(bytes);
    this.#take(bytes);
    return undefined;
  }

  async #waitForTurns(bytes: number): Promise<void> {
    while (this.#bytes > BYTES_PER_TURN) await this.#turn;
    this.#take(bytes);
  }

  #take(bytes: number): void {
    this.#bytes += bytes;
    this.#turn ??= this.#nextTurn();
  }

  async #nextTurn(): Promise<void> {
    await setImmediate();
    this.#bytes = 0;
    this.#turn = undefined;
  }
}
