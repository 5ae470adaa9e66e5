import { type Component, compose } from "./composition.ts";
import { PromptdError } from "./errors.ts";
import type { AnswerCache, Caller, PromptSource } from "./ports.ts";
import type { Pointer, PromptVersion, Selector } from "./prompt.ts";
import { type ParsedBody, parseBody } from "./template/template.ts";

/** What GetPrompt and Compile ask: which version of which prompt. */
export interface Question {
  name: string;
  selector: Selector;
  /** Leaves composition tags as they were written. */
  raw?: boolean;
}

/** A prompt that composition put into another one, and how it was asked for. */
interface Part {
  name: string;
  selector: Selector;
  pointer: Pointer;
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

/**
 * Answers which version a caller gets now. The source is asked on every call
 * where the selector leads; the body is read, composed and parsed only when
 * that differs from what memory holds.
 */
export class Resolver {
  readonly #source: PromptSource;
  readonly #memory: AnswerCache<Answer>;

  constructor(source: PromptSource, memory: AnswerCache<Answer>) {
    this.#source = source;
    this.#memory = memory;
  }

  /** @throws not_found, refused (composition), unavailable */
  async resolve(caller: Caller, question: Question): Promise<Answer> {
    const key = cacheKey(caller, question);
    const known = this.#memory.get(key);
    if (known !== undefined && (await this.#stands(caller, known))) return known;
    const answer = await this.#build(caller, question);
    this.#memory.set(key, answer, approximateBytes(answer));
    return answer;
  }

  /** Whether every selector that led to the answer still leads to the same state. */
  async #stands(caller: Caller, { version, selector, parts }: Answer): Promise<boolean> {
    const root = { name: version.name, selector, pointer: version };
    const found = await Promise.all(
      [root, ...parts].map(async (part) => {
        const pointer = await this.#source.find(caller, part.name, part.selector);
        return sameState(pointer, part.pointer);
      }),
    );
    return found.every(Boolean);
  }

  async #build(caller: Caller, { name, selector, raw }: Question): Promise<Answer> {
    const version = await this.#source.load(caller, name, selector);
    if (raw) return new Answer(version, selector, [], []);
    const parts: Part[] = [];
    const { body, components } = await compose(version, async (child, childSelector) => {
      const part = await this.#source.load(caller, child, childSelector);
      parts.push({ name: child, selector: childSelector, pointer: pointerOf(part) });
      return part;
    });
    return new Answer({ ...version, body }, selector, components, parts);
  }
}

function sameState(a: Pointer, b: Pointer): boolean {
  return (
    a.version === b.version &&
    a.revision === b.revision &&
    a.updatedAt.getTime() === b.updatedAt.getTime()
  );
}

/** The pointer alone, so that an answer does not keep its parts' bodies. */
function pointerOf(part: PromptVersion): Pointer {
  const { name, type, version, contentHash, revision, updatedAt } = part;
  return { name, type, version, contentHash, revision, updatedAt };
}

/** Keeps label `3` apart from version 3, and projects apart. */
function cacheKey(caller: Caller, { name, selector, raw }: Question): string {
  const selected = "version" in selector ? `v${selector.version}` : `l${selector.label}`;
  return [caller.project, raw ? "raw" : "", selected, name].join("\u0000");
}

/**
 * What an answer may come to hold: its text as one or two bytes a unit, again
 * encoded for the wire, and again in segments, of which every `{` may begin one.
 */
function approximateBytes({ version, parts }: Answer): number {
  const text = JSON.stringify(version.body);
  const braces = text.split("{").length;
  return 2048 + 4 * text.length + 128 * braces + 512 * parts.length;
}
