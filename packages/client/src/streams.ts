import type { OpenService } from "../../../src/client/service.ts";
import { PromptdError } from "../../../src/core/errors.ts";
import { LIMITS } from "../../../src/core/validate.ts";
import { Stream } from "./stream.ts";
import type { WatchedPrompt } from "./watched-prompt.ts";

export interface StreamsParts {
  open(): Promise<OpenService>;
  onTold(): void;
  onFault(error: PromptdError): void;
}

/** The streams that watch prompts, as few as can be, over one connection. */
export class Streams {
  readonly #parts: StreamsParts;
  /** The newest last. */
  readonly #streams = new Set<Stream>();
  /** Prompts that no stream watches yet. */
  #added: WatchedPrompt[] = [];
  #connection: Promise<OpenService> | undefined;
  #closed = false;

  constructor(parts: StreamsParts) {
    this.#parts = parts;
  }

  /** The connection that stands, or a new one. @throws unavailable once it is closed; where files for TLS cannot be used */
  connect(): Promise<OpenService> {
    if (this.#closed) {
      return Promise.reject(new PromptdError("unavailable", "the client was closed"));
    }
    this.#connection ??= this.#parts.open().catch((thrown: unknown) => {
      // Its files may be there next time.
      this.#connection = undefined;
      throw thrown;
    });
    return this.#connection;
  }

  /** Watches a prompt beside the others. Prompts that are added at a time come into one stream. */
  add(prompt: WatchedPrompt): void {
    this.#added.push(prompt);
    if (this.#added.length === 1) queueMicrotask(() => this.#begin());
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stream of this.#streams) stream.stop();
    const connection = await this.#connection?.catch(() => undefined);
    connection?.close();
  }

  /** A stream cannot be given more prompts, so one with room is replaced. */
  #begin(): void {
    const added = this.#added;
    this.#added = [];
    if (this.#closed) return;
    const last = [...this.#streams].at(-1);
    const room = LIMITS.batch - (last?.prompts.length ?? LIMITS.batch);
    const joining = added.splice(0, room);
    if (last !== undefined && joining.length > 0) this.#join(last, joining);
    while (added.length > 0) this.#run(added.splice(0, LIMITS.batch));
  }

  #join(last: Stream, joining: readonly WatchedPrompt[]): void {
    const prompts = [...last.prompts, ...joining];
    if (!last.isUp) this.#end(last);
    this.#run(prompts, last.isUp ? { stream: last, joining } : undefined);
  }

  /** @param replaced tells of its prompts until the new one does */
  #run(
    prompts: readonly WatchedPrompt[],
    replaced?: { stream: Stream; joining: readonly WatchedPrompt[] },
  ): void {
    const { onTold, onFault } = this.#parts;
    const stream = new Stream(prompts, {
      connect: () => this.connect(),
      broken: (connection) => {
        connection.close();
        this.#connection = undefined;
      },
      onTold: () => {
        if (replaced !== undefined) this.#end(replaced.stream);
        onTold();
      },
      onFault: (error) => {
        const goesOn = error.code !== "forbidden" || prompts.length === 1;
        if (goesOn && isFinal(error)) for (const prompt of prompts) prompt.refuse(error);
        if (!goesOn) {
          // One of them is not for this key, and keeps it from the others.
          this.#end(stream);
          const half = Math.ceil(prompts.length / 2);
          const parts = replaced
            ? [replaced.joining]
            : [prompts.slice(0, half), prompts.slice(half)];
          for (const part of parts) this.#run(part);
        }
        onFault(error);
        return goesOn;
      },
    });
    this.#streams.add(stream);
    void stream.run();
  }

  #end(stream: Stream): void {
    stream.stop();
    this.#streams.delete(stream);
  }
}

/** What another attempt at the same does not mend. */
function isFinal({ code }: PromptdError): boolean {
  return ["unauthenticated", "forbidden", "invalid"].includes(code);
}
