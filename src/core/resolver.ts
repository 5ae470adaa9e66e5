import {
  type CachedPrompt,
  type MemoryCache,
  type PromptKey,
  type Tier,
  type TierObserver,
  UNOBSERVED,
} from "./cache-ports.ts";
import { type Component, compose } from "./composition.ts";
import { PromptdError } from "./errors.ts";
import type { Caller } from "./ports.ts";
import type { PromptVersion, Selector } from "./prompt.ts";
import { type ParsedBody, parseBody } from "./template/template.ts";
import type { Found, Tiers } from "./tiers.ts";

/** What GetPrompt and Compile ask: which version of which prompt. */
export interface Question {
  name: string;
  selector: Selector;
  /** Leaves composition tags as they were written. */
  raw?: boolean;
}

/** A prompt that composition put into another one, and how it was asked for. */
interface Part {
  key: PromptKey;
  prompt: CachedPrompt;
}

/**
 * What a question led to. The same object answers until something it was made
 * of changes, so what is derived from it can be kept beside it.
 */
export class Answer {
  /** Its body is composed, unless the question was raw. */
  readonly version: PromptVersion;
  readonly selector: Selector;
  readonly components: readonly Component[];
  /** What must still hold for this answer to be given again. */
  readonly parts: readonly Part[];
  #template: ParsedBody | undefined;

  constructor(
    version: PromptVersion,
    selector: Selector,
    components: readonly Component[],
    parts: readonly Part[],
  ) {
    this.version = version;
    this.selector = selector;
    this.components = components;
    this.parts = parts;
  }

  /**
   * The body's templates, parsed once.
   *
   * @throws refused where composition made what no single version could be: the
   * variable of an included prompt has the name of a placeholder
   */
  get template(): ParsedBody {
    this.#template ??= this.#parse();
    return this.#template;
  }

  #parse(): ParsedBody {
    try {
      return parseBody(this.version.body);
    } catch (cause) {
      const { name, version } = this.version;
      const why = PromptdError.from(cause).message;
      const message = `${name} v${version} cannot be compiled with what it includes: ${why}`;
      throw new PromptdError("refused", message, { cause });
    }
  }
}

/** An answer, and where it came from this time. */
export interface Resolved {
  answer: Answer;
  /** The last tier that had to be asked for any part of it. */
  tier: Tier;
  /** Nobody can say whether some part of it has changed. */
  stale: boolean;
  /** Since the source was asked for the oldest part of it, in milliseconds. */
  ageMs: number;
}

/** The answers that one prompt gives. */
interface Answers {
  composed?: Answer;
  raw?: Answer;
}

/** Answers which version a caller gets now, with what it includes. */
export class Resolver {
  readonly #tiers: Tiers;
  readonly #memory: Pick<MemoryCache, "weigh">;
  readonly #now: () => number;
  readonly #observer: Pick<TierObserver, "answered">;
  readonly #answers = new WeakMap<CachedPrompt, Answers>();

  /**
   * @param memory told what answers weigh that are kept beside a prompt
   * @param now milliseconds since 1970
   */
  constructor(
    tiers: Tiers,
    memory: Pick<MemoryCache, "weigh">,
    now: () => number = Date.now,
    observer: Pick<TierObserver, "answered"> = UNOBSERVED,
  ) {
    this.#tiers = tiers;
    this.#memory = memory;
    this.#now = now;
    this.#observer = observer;
  }

  /** @throws not_found, refused (composition), unavailable */
  async resolve(caller: Caller, { name, selector, raw = false }: Question): Promise<Resolved> {
    const key = { project: caller.project, name, selector };
    const root = this.#tiers.peek(key) ?? (await this.#tiers.find(key, caller.signal));
    const answers = this.#answersOf(root.prompt);
    if (raw) {
      answers.raw ??= new Answer(root.prompt.version, selector, [], []);
      return this.#resolved(answers.raw, [root]);
    }
    const known = answers.composed;
    if (known?.parts.length === 0) return this.#resolved(known, [root]);
    if (known !== undefined) {
      const parts = await this.#find(known.parts, caller).catch(absent);
      if (parts?.every(({ prompt }, index) => prompt === known.parts[index]?.prompt)) {
        return this.#resolved(known, [root, ...parts]);
      }
    }
    return this.#compose(caller, key, root);
  }

  #find(parts: readonly Part[], { signal }: Caller): Promise<Found[]> {
    return Promise.all(
      parts.map(({ key }) => this.#tiers.peek(key) ?? this.#tiers.find(key, signal)),
    );
  }

  async #compose(caller: Caller, key: PromptKey, root: Found): Promise<Resolved> {
    const { version } = root.prompt;
    const parts: Part[] = [];
    const found = [root];
    const { body, components } = await compose(version, async (name, selector) => {
      const part = { project: key.project, name, selector };
      const child = this.#tiers.peek(part) ?? (await this.#tiers.find(part, caller.signal));
      parts.push({ key: part, prompt: child.prompt });
      found.push(child);
      return child.prompt.version;
    });
    const answer = new Answer({ ...version, body }, key.selector, components, parts);
    this.#answersOf(root.prompt).composed = answer;
    if (parts.length > 0) this.#memory.weigh(key, root.prompt, composedBytes(answer));
    return this.#resolved(answer, found);
  }

  #answersOf(prompt: CachedPrompt): Answers {
    let answers = this.#answers.get(prompt);
    if (answers === undefined) {
      answers = {};
      this.#answers.set(prompt, answers);
    }
    return answers;
  }

  #resolved(answer: Answer, found: readonly Found[]): Resolved {
    let tier: Tier = "memory";
    let stale = false;
    let readAt = Number.POSITIVE_INFINITY;
    for (const each of found) {
      if (each.tier !== "memory") tier = each.tier;
      if (each.stale) stale = true;
      if (each.prompt.readAt < readAt) readAt = each.prompt.readAt;
    }
    this.#observer.answered(tier, stale);
    return { answer, tier, stale, ageMs: Math.max(0, this.#now() - readAt) };
  }
}

/** What includes a part that is gone is composed anew, which tells so. */
function absent(thrown: unknown): undefined {
  if (!(thrown instanceof PromptdError) || thrown.code !== "not_found") throw thrown;
}

/** What a composed answer holds beside its root: the text, encoded, and in segments. */
function composedBytes({ version }: Answer): number {
  const text = JSON.stringify(version.body);
  return 4 * text.length + 128 * text.split("{").length;
}
