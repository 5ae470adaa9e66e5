import { PromptdError } from "../core/errors.ts";
import type { OpenCall, OpenCalls } from "./open-calls.ts";

/** Streams that a process serves at once. */
const MOST_STREAMS = 1000;

/** What one key may have of them, so that it leaves room for others. */
const MOST_STREAMS_OF_ONE_KEY = 500;

/** Whoever takes no message for so long is cut. */
const TAKEN_WITHIN_MS = 20_000;

/**
 * The streams of answers that go on until somebody ends them. A stream has one
 * message under way at most, which counts as memory of its call until it is taken.
 */
export class OpenStreams {
  readonly #openCalls: OpenCalls;
  readonly #open = new Set<OpenStream>();
  /** How many there are, by key id. */
  readonly #ofKey = new Map<string, number>();
  #stopping = false;

  constructor(openCalls: OpenCalls) {
    this.#openCalls = openCalls;
  }

  get count(): number {
    return this.#open.size;
  }

  /**
   * Opens a stream, which ends with its caller.
   *
   * @throws too_many, unavailable while the service stops
   */
  open(key: string, caller: AbortSignal, call: OpenCall): OpenStream {
    if (this.#stopping) throw stopping();
    const ofKey = this.#ofKey.get(key) ?? 0;
    if (this.#open.size >= MOST_STREAMS) throw crowded(`${MOST_STREAMS} streams are open`);
    if (ofKey >= MOST_STREAMS_OF_ONE_KEY) throw crowded(`${ofKey} streams are open with this key`);
    this.#openCalls.outlast(call);
    const stream = new OpenStream(this.#openCalls, call, caller, () => {
      this.#open.delete(stream);
      const left = (this.#ofKey.get(key) ?? 1) - 1;
      if (left === 0) this.#ofKey.delete(key);
      else this.#ofKey.set(key, left);
    });
    this.#open.add(stream);
    this.#ofKey.set(key, ofKey + 1);
    return stream;
  }

  /** Ends all, and lets none in any more. */
  end(): void {
    this.#stopping = true;
    for (const stream of this.#open) stream.stop(stopping());
  }
}

/** One stream. It is over when its signal is aborted, whether or not anybody waits for it. */
export class OpenStream {
  readonly #controller = new AbortController();
  readonly #openCalls: OpenCalls;
  readonly #call: OpenCall;
  readonly #caller: AbortSignal;
  readonly #onEnd: () => void;
  /** Until a message is taken. */
  #patience: NodeJS.Timeout | undefined;

  constructor(openCalls: OpenCalls, call: OpenCall, caller: AbortSignal, onEnd: () => void) {
    this.#openCalls = openCalls;
    this.#call = call;
    this.#caller = caller;
    this.#onEnd = onEnd;
    caller.addEventListener("abort", this.#onCallerGone, { once: true });
  }

  /** Aborted with a PromptdError. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** A message is under way from here on, until it is taken. */
  async *send(message: Uint8Array): AsyncGenerator<Uint8Array> {
    this.#openCalls.hold(this.#call, message.byteLength);
    this.#patience = setTimeout(() => {
      const message = `no message was taken for ${TAKEN_WITHIN_MS / 1000} s; watch again with after_revision`;
      this.end(new PromptdError("too_many", message));
      this.#openCalls.cut(this.#call, "slow");
    }, TAKEN_WITHIN_MS);
    try {
      yield message;
    } finally {
      clearTimeout(this.#patience);
      this.#patience = undefined;
      this.#openCalls.hold(this.#call, -message.byteLength);
    }
  }

  end(reason: PromptdError): void {
    if (this.signal.aborted) return;
    this.#caller.removeEventListener("abort", this.#onCallerGone);
    this.#onEnd();
    this.#controller.abort(reason);
  }

  /** Ends it without waiting for a message that is under way. */
  stop(reason: PromptdError): void {
    this.end(reason);
    if (this.#patience !== undefined) this.#call.cut();
  }

  readonly #onCallerGone = (): void => {
    clearTimeout(this.#patience);
    const { reason } = this.#caller;
    this.end(reason instanceof PromptdError ? reason : gone());
  };
}

/** Why a stream ends whose caller is there no more. */
export function gone(): PromptdError {
  return new PromptdError("canceled", "the caller gave up");
}

function stopping(): PromptdError {
  return new PromptdError("unavailable", "the service is stopping; go on with another replica");
}

function crowded(message: string): PromptdError {
  return new PromptdError("too_many", `${message}: use fewer, with more prompts in each`);
}
