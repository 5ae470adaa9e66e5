import { v7 as newId } from "uuid";
import { KeptService } from "../../../src/client/kept-service.ts";
import { baseUrlOf, type Service } from "../../../src/client/service.ts";
import type { Answer } from "../../../src/core/answer.ts";
import { CallCounts } from "../../../src/core/call-counts.ts";
import { Choices } from "../../../src/core/choice.ts";
import { PromptdError } from "../../../src/core/errors.ts";
import { DEFAULT_LABEL, type Selector } from "../../../src/core/prompt.ts";
import { LIMITS, Validator } from "../../../src/core/validate.ts";
import { fallbackAnswer, fallbackGiven } from "./fallbacks.ts";
import type { ClientOptions, CompiledPrompt, GetOptions } from "./options.ts";
import { type CompileOptions, givenAs, Prompt } from "./prompt.ts";
import { ReportedCounts } from "./reported-counts.ts";
import { Streams } from "./streams.ts";
import { WatchedPrompt } from "./watched-prompt.ts";

const DEFAULT_ADDRESS = "127.0.0.1:50051";

/** Of a call other than that which watches. */
const CALL_TIMEOUT_MS = 5000;

/** Default of `ready` and `load`. */
const PATIENCE_MS = 10_000;

/** What a process watches: 20 streams. */
const MOST_WATCHED = 2000;

/** A user id of so many units cannot be too long. */
const SURELY_SHORT = Math.floor(LIMITS.userIdBytes / 3);

const NOBODY: GetOptions = {};

/** How a prompt is watched: by label, and by version. */
interface Ways {
  production: WatchedPrompt | undefined;
  labels: Map<string, WatchedPrompt>;
  versions: Map<number, WatchedPrompt>;
}

/** @throws invalid for options that cannot be used; connects behind, and begins to watch */
export function createPromptdClient(options: ClientOptions = {}): PromptdClient {
  return new PromptdClient(options);
}

/** Answers which prompt a user gets now, from memory that promptd keeps true. */
export class PromptdClient {
  readonly #ways = new Map<string, Ways>();
  readonly #choices = new Choices();
  readonly #fallbacks: ReadonlyMap<string, Answer>;
  /** Watched from the start. */
  readonly #asked: WatchedPrompt[] = [];
  readonly #service: KeptService;
  readonly #streams: Streams;
  readonly #counts: CallCounts;
  /** Told when something may have become known. */
  readonly #waiting = new Set<() => void>();
  readonly #onFault: (error: PromptdError) => void;
  #closed = false;
  #watched = 0;
  #fault: PromptdError | undefined;

  constructor(options: ClientOptions) {
    const { address = DEFAULT_ADDRESS, apiKey, tls = {}, onFault = () => {} } = options;
    const { prompts = [], fallbacks = {} } = options;
    baseUrlOf({ address, tls });
    this.#onFault = onFault;
    this.#service = new KeptService({ address, apiKey, tls, timeoutMs: CALL_TIMEOUT_MS }, true);
    this.#streams = new Streams({
      connect: () => this.#connect(),
      onTold: () => {
        this.#fault = undefined;
        for (const wake of this.#waiting) wake();
      },
      onFault: (error) => {
        this.#fault = error;
        onFault(error);
        for (const wake of this.#waiting) wake();
      },
    });
    const reported = new ReportedCounts(() => this.#connect(), onFault);
    this.#counts = new CallCounts(reported, { writer: newId() });
    this.#fallbacks = new Map(
      Object.entries(fallbacks).map(([name, value]) => [name, fallbackAnswer(name, value)]),
    );
    for (const asked of [...prompts, ...this.#fallbacks.keys()]) {
      const { name, ...how } = typeof asked === "string" ? { name: asked } : asked;
      if (this.#find(name, how) === undefined) this.#asked.push(this.#know(name, how));
    }
    for (const watched of this.#asked) this.#streams.add(watched);
    this.#counts.start();
  }

  /**
   * Waits until all prompts are there that are watched from the start.
   *
   * @throws not_found, or what else the service says of them, once it has told of all; unavailable
   * when it has not in time. Both name the prompts
   */
  async ready({ timeoutMs = PATIENCE_MS }: { timeoutMs?: number } = {}): Promise<void> {
    await this.#until(this.#asked, timeoutMs);
    const wrong = this.#asked.filter(({ error }) => error !== undefined);
    const [first] = wrong;
    if (first?.error === undefined) return;
    const why = wrong.map((watched) => `${shown(watched)}: ${watched.error?.message}`);
    throw new PromptdError(first.error.code, `not there: ${why.join("; ")}`);
  }

  /**
   * What a user is given now, from memory.
   *
   * @throws not_found; unavailable for what is not watched or was not told of yet; what the
   * service says of the prompt; invalid for a user id that cannot be one. Where there is a fallback
   * value it answers instead, but not for a version
   */
  get(name: string, options: GetOptions = NOBODY): Prompt {
    const prompt = this.#answer(name, options);
    this.#counts.answered(givenAs(prompt).counted);
    return prompt;
  }

  /**
   * As `get`, and fills in the template.
   *
   * @throws invalid naming what is missing or wrong, too
   */
  compile(name: string, options: GetOptions & CompileOptions = NOBODY): CompiledPrompt {
    const prompt = this.#answer(name, options);
    const output = prompt.compile(options);
    this.#counts.answered(givenAs(prompt).counted);
    return {
      ...output,
      prompt,
      config: prompt.config,
      get resolution() {
        return prompt.resolution;
      },
    };
  }

  /**
   * As `get`, of a prompt that need not be watched: from now on it is.
   *
   * @throws also what keeps the service from telling of it in time
   */
  async load(
    name: string,
    { timeoutMs = PATIENCE_MS, ...options }: GetOptions & { timeoutMs?: number } = {},
  ): Promise<Prompt> {
    let watched = this.#find(name, options);
    if (watched === undefined) {
      watched = this.#know(name, options);
      this.#streams.add(watched);
    }
    const { fallback } = watched;
    await this.#until([watched], timeoutMs).catch((thrown: unknown) => {
      if (fallback === undefined) throw thrown;
    });
    return this.get(name, options);
  }

  /** Reports what was counted, and lets go of everything: what is known stays, and is stale. */
  async close(): Promise<void> {
    const lost = await this.#counts.close();
    this.#streams.close();
    this.#closed = true;
    for (const wake of this.#waiting) wake();
    await this.#service.close();
    if (lost === 0) return;
    this.#onFault(new PromptdError("unavailable", `${lost} calls could not be reported`));
  }

  /** @throws unavailable once the client is closed, invalid for files that cannot be used for TLS */
  async #connect(): Promise<Service> {
    if (this.#closed) throw closed();
    return this.#service.open();
  }

  #find(name: string, { label, version }: GetOptions): WatchedPrompt | undefined {
    const ways = this.#ways.get(name);
    if (version !== undefined) return ways?.versions.get(version);
    if (label === undefined) return ways?.production;
    return ways?.labels.get(label);
  }

  /** @throws invalid for what no prompt is asked for by, refused where too many are watched */
  #know(name: string, { label = DEFAULT_LABEL, version }: GetOptions): WatchedPrompt {
    const selector: Selector = version === undefined ? { label } : { version };
    const validator = new Validator();
    validator.name(name);
    validator.label(label, "label");
    const isVersion = version === undefined || (Number.isInteger(version) && version < 2 ** 32);
    validator.require(isVersion, "version", "expected a number of a version");
    if (version !== undefined) validator.version(version, "version");
    validator.done();
    if (this.#watched === MOST_WATCHED) {
      throw new PromptdError("refused", `a client watches at most ${MOST_WATCHED} prompts`);
    }
    this.#watched++;
    const answer = version === undefined ? this.#fallbacks.get(name) : undefined;
    const fallback = answer && fallbackGiven(answer, selector);
    const watched = new WatchedPrompt(name, selector, this.#choices, fallback);
    const ways = this.#ways.get(name) ?? {
      production: undefined,
      labels: new Map(),
      versions: new Map(),
    };
    this.#ways.set(name, ways);
    if (version !== undefined) ways.versions.set(version, watched);
    else ways.labels.set(label, watched);
    if (version === undefined && label === DEFAULT_LABEL) ways.production = watched;
    return watched;
  }

  /** The hot path. */
  #answer(name: string, options: GetOptions): Prompt {
    const { userId = "" } = options;
    if (userId.length > SURELY_SHORT || !userId.isWellFormed()) requireUserId(userId);
    const watched = this.#find(name, options);
    if (watched === undefined) throw notWatched(name);
    const given = watched.give(userId);
    if (given !== undefined && !(given instanceof PromptdError)) {
      return new Prompt(given, watched.bucket);
    }
    if (watched.fallback !== undefined) return new Prompt(watched.fallback, undefined);
    throw given ?? this.#notTold([watched]);
  }

  /** Waits until something is known of each. @throws unavailable */
  async #until(watched: readonly WatchedPrompt[], timeoutMs: number): Promise<void> {
    const left = () => watched.filter(({ isKnown }) => !isKnown);
    await new Promise<void>((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const timer = setTimeout(() => {
        done();
        reject(this.#notTold(left()));
      }, timeoutMs);
      const look = () => {
        const isThere = left().length === 0;
        if (!isThere && !this.#closed) return;
        done();
        if (isThere) resolve();
        else reject(closed());
      };
      this.#waiting.add(look);
      look();
    });
  }

  #notTold(watched: readonly WatchedPrompt[]): PromptdError {
    const why = this.#fault ? ` (${this.#fault.message})` : "; wait for ready()";
    const message = `promptd has not told yet of ${watched.map(shown).join(", ")}${why}`;
    return new PromptdError("unavailable", message);
  }
}

function closed(): PromptdError {
  return new PromptdError("unavailable", "the client was closed");
}

function requireUserId(userId: string): void {
  const validator = new Validator();
  validator.userId(userId, "userId");
  validator.done();
}

function notWatched(name: string): PromptdError {
  const message = `"${name}" is not watched this way: name it in \`prompts\`, or await load() before`;
  return new PromptdError("unavailable", message);
}

function shown({ name, selector }: WatchedPrompt): string {
  if ("version" in selector) return `"${name}" v${selector.version}`;
  return selector.label === DEFAULT_LABEL ? `"${name}"` : `"${name}" label ${selector.label}`;
}
