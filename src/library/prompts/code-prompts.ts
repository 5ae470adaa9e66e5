/** Prompts that stand in an application's code, until the service manages them. */

import { Breaker } from "../../circuit.ts";
import { KeptService } from "../../client/kept-service.ts";
import {
  baseUrlOf,
  type Connection,
  isConnectionFault,
  requireSendable,
} from "../../client/service.ts";
import type { ClientTlsFiles } from "../../client/tls.ts";
import { followLabel } from "../../client/watching.ts";
import { isUnreachable, PromptdError } from "../../core/errors.ts";
import {
  type ChatMessage,
  DEFAULT_LABEL,
  type JsonValue,
  LATEST_LABEL,
  type Selector,
  TRACKING_LABEL,
} from "../../core/prompt.ts";
import { type Compiled, compile } from "../../core/template/compile.ts";
import { parseBody } from "../../core/template/template.ts";
import { LIMITS, Validator } from "../../core/validate.ts";
import { readOrigin } from "../../origin.ts";
import { type CodePrompt, declare } from "./declared.ts";
import { type Registered, registerAll } from "./registration.ts";
import { PAUSE_MS, type ServedPrompt, Standing } from "./standing.ts";

export interface RegisterOptions {
  /** HOST:PORT or a URL of a running promptd; default 127.0.0.1:50051. */
  address?: string;
  /** The scopes read, write and release are needed. */
  apiKey?: string | undefined;
  tls?: ClientTlsFiles;
  /** How long an answer may take, in milliseconds; default 1000. */
  timeoutMs?: number;
  /** A prompt that has it is managed, and served by it; default: production. */
  label?: string;
  /** Named in the history. */
  application?: string;
  /** Default: what git or the CI says of the working directory. */
  gitCommit?: string | undefined;
  /** Told what fails behind: what is refused for good, and what is tried again later. */
  onError?: (error: PromptdError) => void;
}

export interface GetOptions {
  /** Whom rollouts split. */
  userId?: string;
}

export interface CompileOptions extends GetOptions {
  variables?: Readonly<Record<string, JsonValue | undefined>>;
  /** Messages by placeholder. */
  placeholders?: Readonly<Record<string, readonly ChatMessage[]>>;
}

/** What was filled in, and what it was filled in from. */
export type CompiledPrompt = Omit<ServedPrompt, "body"> & Compiled & { config: JsonValue };

const DEFAULT_ADDRESS = "127.0.0.1:50051";
const TIMEOUT_MS = 1000;

/** An hour: what Node's timers do not hold ends at once. */
const LONGEST_TIMEOUT_MS = 3_600_000;

/** Of what nobody waits for. */
const REGISTRATION_TIMEOUT_MS = 10_000;

/** Streams at a time; of prompts beyond theirs, calls find out. */
const MOST_STREAMS = 8;

/**
 * Registers prompts and answers for them from then on. It returns at once: nothing of
 * the service is waited for, and an application starts and runs without it.
 *
 * @throws invalid for a name, template or option that cannot be, naming all of them
 */
export function registerPrompts<Name extends string>(
  prompts: Readonly<Record<Name, CodePrompt>>,
  options: RegisterOptions = {},
): CodePrompts<Name> {
  return new CodePrompts(prompts, options);
}

/** The prompts of an application. None of its timers and streams keeps the process from ending. */
export class CodePrompts<Name extends string> {
  readonly #prompts: ReadonlyMap<string, Standing>;
  readonly #label: string;
  readonly #onError: (error: PromptdError) => void;
  readonly #service: KeptService;
  readonly #serviceBehind: KeptService;
  readonly #circuit: Breaker;
  readonly #stop = new AbortController();
  readonly #registration: Promise<Registered[]>;
  /** All that goes on until it is closed. */
  readonly #behind: Promise<unknown>;

  constructor(prompts: Readonly<Record<Name, CodePrompt>>, options: RegisterOptions) {
    const { address = DEFAULT_ADDRESS, apiKey, tls = {}, timeoutMs = TIMEOUT_MS } = options;
    const { label = DEFAULT_LABEL, application, gitCommit, onError } = options;
    requireOptions({ label, application, gitCommit, timeoutMs });
    const connection: Connection = { address, apiKey, tls, timeoutMs };
    baseUrlOf(connection);
    requireSendable(apiKey);
    const standings = declare(prompts).map((declared) => new Standing(declared));
    this.#prompts = new Map(standings.map((prompt) => [prompt.declared.name, prompt]));
    this.#label = label;
    this.#onError = (error) => {
      // What it throws is the application's, and ends nothing here.
      if (onError && !this.#stop.signal.aborted) queueMicrotask(() => onError(error));
    };
    this.#service = new KeptService(connection);
    const behind = { ...connection, timeoutMs: REGISTRATION_TIMEOUT_MS };
    this.#serviceBehind = new KeptService(behind, true);
    this.#circuit = new Breaker(`promptd at ${address}`, {
      timeoutMs,
      retries: 0,
      failures: 1,
      openMs: PAUSE_MS,
      isOfOneCall: (error) => isUnreachable(error) && !isConnectionFault(error),
    });
    this.#registration = registerAll({
      prompts: standings,
      service: this.#serviceBehind,
      label,
      message: commitMessage(application, gitCommit),
      onError: this.#onError,
      stop: this.#stop.signal,
    });
    // What is wrong with it is told to those who ask.
    this.#behind = Promise.allSettled([this.#registration, ...this.#follow(standings)]);
  }

  /**
   * What became of each, once all are registered.
   *
   * @throws what the service refuses one of them with for good, naming which; canceled once closed
   */
  async registered(): Promise<Registered[]> {
    // Nothing else keeps the process from ending before.
    const hold = setInterval(() => {}, 60_000);
    try {
      return await this.#registration;
    } finally {
      clearInterval(hold);
    }
  }

  /**
   * The service's version where the prompt has the label, else the code's own. Where the
   * service cannot say so in time, what it answered last, or the code's own.
   *
   * @throws invalid for a name that is not registered here, and for a user id that is too long
   */
  async get(name: Name, { userId = "" }: GetOptions = {}): Promise<ServedPrompt> {
    const prompt = this.#find(name);
    const validator = new Validator();
    validator.userId(userId, "userId");
    validator.done();
    if (prompt.quiet || this.#stop.signal.aborted) return prompt.local();
    const answer = this.#ask(prompt, userId).catch((thrown: unknown) => {
      if (this.#circuit.closed) prompt.failed(PromptdError.from(thrown).code);
      return prompt.local();
    });
    // While the service is out of reach nobody waits for the call that finds out whether it is back.
    return this.#circuit.closed ? answer : prompt.local();
  }

  /**
   * As `get`, with everything filled in.
   *
   * @throws invalid also for what the template needs and was not given
   */
  async compile(name: Name, options: CompileOptions = {}): Promise<CompiledPrompt> {
    const { variables = {}, placeholders = {}, userId } = options;
    const validator = new Validator();
    validator.json(variables as Record<string, JsonValue>, "variables");
    for (const [key, messages] of Object.entries(placeholders)) {
      validator.placeholderMessages(messages, `placeholders.${key}`);
    }
    validator.done();
    const { body, ...served } = await this.get(name, userId === undefined ? {} : { userId });
    const { declared } = this.#find(name);
    const parsed = body === declared.body ? declared.parsed : parseBody(body);
    const compiled = compile(parsed, { variables, placeholders, missing: "strict" });
    return { ...served, ...compiled, config: body.config };
  }

  /** Gives up what is under way. Prompts go on being answered, as without the service. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all([this.#service.close(), this.#serviceBehind.close()]);
    await this.#behind;
    // What was between two calls has connected again.
    await this.#serviceBehind.close();
  }

  #find(name: string): Standing {
    const prompt = this.#prompts.get(name);
    if (prompt !== undefined) return prompt;
    const description = "expected one of the prompts that were registered";
    throw PromptdError.invalid({ field: "name", description });
  }

  /** @throws what the service refuses it with */
  async #ask(prompt: Standing, userId: string): Promise<ServedPrompt> {
    if (prompt.mayBeManaged) {
      try {
        return prompt.managed(await this.#call(prompt, { label: this.#label }, userId));
      } catch (thrown) {
        if (PromptdError.from(thrown).code !== "not_found") throw thrown;
        prompt.unmanaged();
      }
    }
    const { version } = prompt;
    if (version === undefined) return prompt.local();
    return prompt.tracked(await this.#call(prompt, { version }, userId));
  }

  #call({ declared: { name } }: Standing, selector: Selector, userId: string) {
    return this.#circuit.run(async () => {
      try {
        const { prompts } = await this.#service.open();
        const which =
          "label" in selector
            ? ({ case: "label", value: selector.label } as const)
            : ({ case: "version", value: selector.version } as const);
        return await prompts.getPrompt({ name, selector: which, userId });
      } catch (thrown) {
        const error = PromptdError.from(thrown);
        if (error.code !== "not_found") this.#onError(error);
        throw error;
      }
    });
  }

  /** Learns of adoptions, and of what takes them back. */
  #follow(prompts: readonly Standing[]): Promise<void>[] {
    const streams = Math.min(Math.ceil(prompts.length / LIMITS.batch), MOST_STREAMS);
    return Array.from({ length: streams }, (_, at) => {
      const followed = prompts.slice(at * LIMITS.batch, (at + 1) * LIMITS.batch);
      return followLabel(
        () => this.#serviceBehind.open(),
        { names: followed.map(({ declared }) => declared.name), label: this.#label },
        {
          told: (index, item) => followed[index]?.told(item),
          lost: () => {
            for (const prompt of followed) prompt.lost();
          },
        },
        this.#stop.signal,
      );
    });
  }
}

function requireOptions({
  label,
  application,
  gitCommit,
  timeoutMs,
}: {
  label: string;
  application: string | undefined;
  gitCommit: string | undefined;
  timeoutMs: number;
}): void {
  const validator = new Validator();
  validator.label(label, "label");
  const own = label === LATEST_LABEL || label === TRACKING_LABEL;
  validator.require(!own, "label", `every registered prompt has ${label}: expected another`);
  if (application !== undefined) validator.tag(application, "application");
  if (gitCommit !== undefined) validator.tag(gitCommit, "gitCommit");
  const isTime = timeoutMs > 0 && timeoutMs <= LONGEST_TIMEOUT_MS;
  validator.require(isTime, "timeoutMs", `expected more than 0 and at most ${LONGEST_TIMEOUT_MS}`);
  validator.done();
}

/** `registered by billing-api at 1f2e3d…` */
async function commitMessage(application?: string, gitCommit?: string): Promise<string> {
  const commit = gitCommit ?? (await readOrigin(process.env))?.commit;
  return ["registered", application && `by ${application}`, commit && `at ${commit}`]
    .filter(Boolean)
    .join(" ");
}
