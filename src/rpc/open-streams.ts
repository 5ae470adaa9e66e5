import { PromptdError, throwIfAborted } from "../core/errors.ts";
import { callController } from "./call-controller.ts";
import type { OpenCall, OpenCalls } from "./open-calls.ts";

/** As the contract has it. */
const BOUNDS = {
  /** Streams that a process serves at once. */
  most: 1000,
  /** What one key may have of them, so that it leaves room for others. */
  mostOfOneKey: 500,
  /** Whoever takes no message for so long is cut, in milliseconds. */
  patienceMs: 20_000,
};

/**
 * The streams of answers that go on until somebody ends them. A stream has one
 * message under way at most, which counts as memory of its call until it is taken.
 */
export class OpenStreams {
  readonly #openCalls: OpenCalls;
  readonly #open = new Set<OpenStream>();
  /** How many there are, by key id. */
  readonly #ofKey = new Map<string, number>();
  readonly #bounds: typeof BOUNDS;
  #stopping = false;

  constructor(openCalls: OpenCalls, bounds = BOUNDS) {
    this.#openCalls = openCalls;
    this.#bounds = bounds;
  }

  get count(): number {
    return this.#open.size;
  }

  /**
   * Opens a stream, which ends with its caller.
   *
   * @throws too_many, unavailable while the service stops; canceled for a caller that is gone
   */
  open(key: string, caller: AbortSignal, call: OpenCall): OpenStream {
    if (this.#stopping) throw stopping();
    throwIfAborted(caller);
    const ofKey = this.#ofKey.get(key) ?? 0;
    const { most, mostOfOneKey, patienceMs } = this.#bounds;
    if (this.#open.size >= most) throw crowded(`${most} streams are open`);
    if (ofKey >= mostOfOneKey) throw crowded(`${ofKey} streams are open with this key`);
    this.#openCalls.outlast(call);
    const stream = new OpenStream(this.#openCalls, call, { caller, patienceMs }, () => {
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
  readonly #controller = callController();
  readonly #openCalls: OpenCalls;
  readonly #call: OpenCall;
  readonly #caller: AbortSignal;
  readonly #patienceMs: number;
  readonly #onEnd: () => void;
  /** Until a message is taken. */
  #patience: NodeJS.Timeout | undefined;

  constructor(
    openCalls: OpenCalls,
    call: OpenCall,
    { caller, patienceMs }: { caller: AbortSignal; patienceMs: number },
    onEnd: () => void,
  ) {
    this.#openCalls = openCalls;
    this.#call = call;
    this.#caller = caller;
    this.#patienceMs = patienceMs;
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
      const why = `no message was taken for ${this.#patienceMs / 1000} s; go on with after_revision`;
      this.end(new PromptdError("too_many", why));
      this.#openCalls.cut(this.#call, "slow");
    }, this.#patienceMs);
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
