import { type Connection, type OpenService, openService, type Service } from "./service.ts";

/** A service for as long as a program runs: opened when it is first needed, and again where that failed. */
export class KeptService {
  readonly #connection: Connection;
  readonly #behind: boolean;
  #opened: Promise<OpenService> | undefined;

  /** @param behind whether what is under way lets the process end */
  constructor(connection: Connection, behind = false) {
    this.#connection = connection;
    this.#behind = behind;
  }

  /** @throws invalid for an address that is none, and for files that cannot be used for TLS */
  async open(): Promise<Service> {
    this.#opened ??= openService(this.#connection, this.#behind);
    const { service } = await this.#opened.catch((thrown: unknown) => {
      // Its files may be there next time.
      this.#opened = undefined;
      throw thrown;
    });
    return service;
  }

  /** Gives up what is under way. */
  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined);
    opened?.close();
  }
}
