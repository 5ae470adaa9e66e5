import type { CachedPrompt, PromptKey } from "./cache-ports.ts";
import type { Component } from "./composition.ts";
import { PromptdError } from "./errors.ts";
import type { PromptVersion } from "./prompt.ts";
import { type ParsedBody, parseBody } from "./template/template.ts";

/** A prompt that composition put into another one, and how it was asked for. */
export interface Part {
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
  readonly components: readonly Component[];
  /** What must still hold for this answer to be given again. */
  readonly parts: readonly Part[];
  #template: ParsedBody | undefined;

  constructor(version: PromptVersion, components: readonly Component[], parts: readonly Part[]) {
    this.version = version;
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

  get isParsed(): boolean {
    return this.#template !== undefined;
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
