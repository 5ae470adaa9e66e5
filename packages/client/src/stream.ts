import type {
  WatchPromptsRequest,
  WatchPromptsResponse,
} from "../../../gen/promptd/v1/prompt_service_pb.ts";
import type { Service } from "../../../src/client/service.ts";
import {
  LONGEST_PAUSE_MS,
  SHORTEST_PAUSE_MS,
  spoken,
  waitABit,
} from "../../../src/client/watching.ts";
import { PromptdError } from "../../../src/core/errors.ts";
import type { Selector } from "../../../src/core/prompt.ts";
import type { Line, WatchedPrompt } from "./watched-prompt.ts";

/** The first message comes at once from a service that is well. */
const FIRST_MS = 10_000;

/** A service that is there sends something every 10 seconds. */
const DOUBTFUL_MS = 15_000;

export interface StreamParts {
  /** @throws invalid for files that cannot be used for TLS */
  connect(): Promise<Service>;
  /** Told that something may have become known. */
  onTold(): void;
  /** Told why the stream has ended. It is begun again, unless that is answered with false. */
  onFault(error: PromptdError): boolean;
}

/** Watches prompts until it is stopped. A stream that ends is begun again, and goes on where it was. */
export class Stream implements Line {
  readonly prompts: readonly WatchedPrompt[];
  readonly #parts: StreamParts;
  readonly #stop = new AbortController();
  #connected = false;
  #doubtful = true;
  #vouchedAt = Number.NEGATIVE_INFINITY;
  /** Up to there everything is known; undefined: nothing is. */
  #behind: Pick<WatchPromptsRequest, "afterRevision" | "afterHistory"> | undefined;

  constructor(prompts: readonly WatchedPrompt[], parts: StreamParts) {
    this.prompts = prompts;
    this.#parts = parts;
  }

  /** Whether it tells of its prompts now. */
  get isUp(): boolean {
    return this.#connected;
  }

  get stale(): boolean {
    if (!this.#connected || this.#doubtful) return true;
    return performance.now() - this.#vouchedAt > DOUBTFUL_MS;
  }

  get vouchedAt(): number {
    return this.#vouchedAt;
  }

  stop(): void {
    this.#stop.abort();
    this.#connected = false;
  }

  async run(): Promise<void> {
    const { signal } = this.#stop;
    let pauseMs = SHORTEST_PAUSE_MS;
    while (!signal.aborted) {
      try {
        const service = await this.#parts.connect();
        for await (const message of this.#messages(service)) {
          await this.#take(message, service);
          pauseMs = SHORTEST_PAUSE_MS;
        }
      } catch (thrown) {
        if (signal.aborted) return;
        this.#connected = false;
        if (!this.#parts.onFault(PromptdError.from(thrown))) return;
      }
      this.#connected = false;
      await waitABit(pauseMs, signal);
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }

  #messages(service: Service): AsyncGenerator<WatchPromptsResponse> {
    const prompts = this.prompts.map(({ name, selector }) => ({
      name,
      selector: selectorField(selector),
    }));
    const request = { prompts, rollouts: true, ...this.#behind };
    return spoken(service, request, FIRST_MS, this.#stop.signal);
  }

  async #take({ event, history }: WatchPromptsResponse, service: Service): Promise<void> {
    if (event.case === undefined) return;
    const ask = (name: string, target: Selector) =>
      service.prompts.getPrompt({ name, selector: selectorField(target) });
    const { revision } = event.value;
    const items =
      event.case === "snapshot"
        ? event.value.items.map((item, index) => ({ index, item }))
        : event.case === "update"
          ? event.value.items
          : [];
    if (event.case === "snapshot") this.#behind = undefined;
    const { signal } = this.#stop;
    for (const { index, item } of items) {
      if (item !== undefined) await this.prompts[index]?.take(item, ask, signal);
    }
    if (signal.aborted) return;
    if (revision > 0n) this.#behind = { afterRevision: revision, afterHistory: history };
    this.#doubtful = event.case === "heartbeat" && event.value.stale;
    if (!this.#doubtful) {
      this.#vouchedAt = performance.now();
      if (event.case === "heartbeat") for (const prompt of this.prompts) prompt.vouch();
    }
    if (!this.#connected) {
      this.#connected = true;
      for (const prompt of this.prompts) prompt.line = this;
    }
    this.#parts.onTold();
  }
}

function selectorField(selector: Selector) {
  return "version" in selector
    ? ({ case: "version", value: selector.version } as const)
    : ({ case: "label", value: selector.label } as const);
}
