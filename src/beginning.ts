import type { Logger } from "pino";
import { isUnreachable } from "./core/errors.ts";

/** How long after one attempt to reach a database the next is made, in milliseconds. */
const AGAIN_MS = 500;

/** What is done once at the start, with a database that may not be there yet. */
export class Beginning {
  readonly #begin: () => Promise<void>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #going: Promise<void> | undefined;
  #begun = false;
  #closed = false;

  constructor(begin: () => Promise<void>, log: Logger) {
    this.#begin = begin;
    this.#log = log;
  }

  /**
   * @param standsAlone whether answers can be given without the database; then `goOn` tries again
   * @throws what the beginning throws, otherwise
   */
  async attempt(standsAlone: () => boolean): Promise<void> {
    try {
      await this.#begin();
      this.#begun = true;
    } catch (err) {
      if (!isUnreachable(err) || !standsAlone()) throw err;
      this.#log.warn({ err }, "the database cannot be reached: going on without it");
    }
  }

  /** Tries again behind, until it has begun. */
  goOn(): void {
    if (!this.#begun) this.#again();
  }

  /** Waits for an attempt that is being made. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#going;
  }

  #again(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#going = this.#begin().then(
        () => this.#log.info("the database is reached"),
        (err: unknown) => {
          // It has been told at the start that nobody is there.
          if (!isUnreachable(err)) this.#log.error({ err }, "the database cannot be used");
          this.#again();
        },
      );
    }, AGAIN_MS).unref();
  }
}
