import type { Service } from "../../../src/client/service.ts";
import type { PromptdError } from "../../../src/core/errors.ts";
import { LIMITS } from "../../../src/core/validate.ts";
import { Stream } from "./stream.ts";
import type { WatchedPrompt } from "./watched-prompt.ts";

export interface StreamsParts {
  /** @throws invalid for files that cannot be used for TLS */
  connect(): Promise<Service>;
  onTold(): void;
  onFault(error: PromptdError): void;
}

/** The streams that watch prompts, as few as can be. */
export class Streams {
  readonly #parts: StreamsParts;
  /** The newest last. */
  readonly #streams = new Set<Stream>();
  /** What goes on until a stream is there that watches the same and more. */
  readonly #replaced = new WeakMap<Stream, Stream>();
  /** Prompts that no stream watches yet. */
  #added: WatchedPrompt[] = [];
  #closed = false;

  constructor(parts: StreamsParts) {
    this.#parts = parts;
  }

  /** Watches a prompt beside the others. Prompts that are added at a time come into one stream. */
  add(prompt: WatchedPrompt): void {
    this.#added.push(prompt);
    if (this.#added.length === 1) queueMicrotask(() => this.#begin());
  }

  close(): void {
    this.#closed = true;
    for (const stream of this.#streams) stream.stop();
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
    const before = last.isUp ? last : this.#replaced.get(last);
    if (!last.isUp) this.#end(last);
    this.#run([...last.prompts, ...joining], before);
  }

  /** @param before tells of its prompts until the new one does */
  #run(prompts: readonly WatchedPrompt[], before?: Stream): void {
    const { connect, onTold, onFault } = this.#parts;
    const stream = new Stream(prompts, {
      connect,
      onTold: () => {
        const before = this.#replaced.get(stream);
        if (before !== undefined) this.#end(before);
        this.#replaced.delete(stream);
        onTold();
      },
      onFault: (error) => {
        const goesOn = error.code !== "forbidden" || prompts.length === 1;
        if (!goesOn) this.#part(stream);
        else if (isFinal(error)) for (const prompt of prompts) prompt.refuse(error);
        onFault(error);
        return goesOn;
      },
    });
    this.#streams.add(stream);
    if (before !== undefined) this.#replaced.set(stream, before);
    void stream.run();
  }

  /** One of its prompts is not for this key, and keeps it from the others. */
  #part(stream: Stream): void {
    const before = this.#replaced.get(stream);
    this.#end(stream);
    const prompts = stream.prompts.filter((prompt) => !before?.prompts.includes(prompt));
    const half = before ? prompts.length : Math.ceil(prompts.length / 2);
    this.#run(prompts.slice(0, half));
    if (half < prompts.length) this.#run(prompts.slice(half));
  }

  #end(stream: Stream): void {
    stream.stop();
    this.#streams.delete(stream);
    this.#replaced.delete(stream);
  }
}

/** What another attempt at the same does not mend. */
function isFinal({ code }: PromptdError): boolean {
  return ["unauthenticated", "forbidden", "invalid"].includes(code);
}
