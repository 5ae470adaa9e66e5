/** What callers are given. */

import { v7 as newId } from "uuid";
import type { Tier } from "../../../src/core/cache-ports.ts";
import type { Choice, Reason } from "../../../src/core/choice.ts";
import type { Component } from "../../../src/core/composition.ts";
import type { ChatMessage, JsonValue, PromptBody } from "../../../src/core/prompt.ts";
import type { Resolved } from "../../../src/core/resolver.ts";
import { type Compiled, compile, type Missing } from "../../../src/core/template/compile.ts";
import { traceAttributes } from "../../../src/core/trace-attributes.ts";
import { Validator } from "../../../src/core/validate.ts";

/** How well something is known that was told. */
export interface Freshness {
  /** Nobody can say whether it has changed since. */
  readonly stale: boolean;
  /** Since somebody could, in milliseconds; undefined for a fallback value. */
  readonly ageMs: number | undefined;
}

/** A choice as it is given to callers: one object for all of them. */
export interface Given {
  choice: Choice;
  freshness: Freshness;
  /** It stands in for an arm that the service could not reach. */
  isStandIn: boolean;
  /** As calls are counted. */
  counted: { caller: { project: string; actor: string }; resolved: Resolved };
  /** Made when it is asked for first. */
  resolution?: SharedResolution;
}

/** What resolutions have that are given the same. */
type SharedResolution = Omit<Resolution, "id" | "bucket">;

/** Which version a caller was given, and why. */
export interface Resolution {
  /** A UUID (version 7) of this answer. */
  readonly id: string;
  readonly name: string;
  /** 0 for a fallback value. */
  readonly version: number;
  /** That was asked for; absent for a version asked for by number. */
  readonly label?: string;
  readonly reason: Reason;
  /** `memory`, or `fallback` for a fallback value. */
  readonly tier: Tier;
  /** Whose answer it is, where the label has a rollout: an arm's name, or `control`. */
  readonly arm?: string;
  /** The user's, 0 to 9999, where a rollout has split. */
  readonly bucket?: number;
  readonly rolloutRevision?: number;
  /** The arm that the user was given, which cannot be answered with; control answers. */
  readonly unresolvedArm?: string;
  readonly contentHash: string;
  /** The prompts that composition put into the template. */
  readonly components: readonly Component[];
  /** The version's own name where prompts live: with LangSmith the commit's hash. */
  readonly sourceVersion?: string;
  /** To be set on the span of the model call. */
  readonly traceAttributes: Readonly<Record<string, string>>;
}

export interface CompileOptions {
  /** A string is inserted as it is, anything else as RFC 8785 JSON; null counts as missing. */
  variables?: Readonly<Record<string, JsonValue | undefined>>;
  /** Messages for the placeholders of a chat prompt, by name. */
  placeholders?: Readonly<Record<string, readonly ChatMessage[]>>;
  /** What becomes of a tag without a value: refused (`strict`, the default), kept, or left out. */
  missing?: Missing;
}

/** What a prompt was given as. */
export let givenAs: (prompt: Prompt) => Given;

/** A version of a prompt, as one caller was given it. */
export class Prompt {
  static {
    givenAs = (prompt) => prompt.#given;
  }

  readonly #given: Given;
  readonly #bucket: number | undefined;
  #resolution: Resolution | undefined;

  constructor(given: Given, bucket: number | undefined) {
    this.#given = given;
    this.#bucket = bucket;
  }

  get name(): string {
    return this.#version.name;
  }

  /** 0 for a fallback value. */
  get version(): number {
    return this.#version.version;
  }

  /** With what it includes in its place. Frozen, as all callers share it. */
  get body(): PromptBody {
    return this.#version.body;
  }

  get config(): JsonValue {
    return this.#version.body.config;
  }

  /** Labels that point at the version. */
  get labels(): readonly string[] {
    return this.#version.labels;
  }

  get tags(): readonly string[] {
    return this.#version.tags;
  }

  /** Nobody can say now whether it has changed: the service cannot be reached, or cannot say so itself. */
  get stale(): boolean {
    return this.#given.isStandIn || this.#given.freshness.stale;
  }

  /** Since the service last said that this is the answer, in milliseconds; undefined for a fallback value. */
  get ageMs(): number | undefined {
    return this.#given.freshness.ageMs;
  }

  /** Made when it is asked for first. */
  get resolution(): Resolution {
    this.#resolution ??= resolutionOf(this.#given, this.#bucket);
    return this.#resolution;
  }

  /**
   * Fills in the template.
   *
   * @throws invalid naming what is missing or wrong; refused for a template that cannot be compiled
   */
  compile({
    variables = {},
    placeholders = {},
    missing = "strict",
  }: CompileOptions = {}): Compiled {
    const validator = new Validator();
    validator.json(variables as JsonValue, "variables");
    for (const [name, messages] of Object.entries(placeholders)) {
      validator.placeholderMessages(messages, `placeholders.${name}`);
    }
    validator.done();
    return compile(this.#given.choice.answer.template, { variables, placeholders, missing });
  }

  get #version() {
    return this.#given.choice.answer.version;
  }
}

function resolutionOf(given: Given, bucket: number | undefined): Resolution {
  given.resolution ??= sharedResolution(given.choice);
  const id = newId();
  const own =
    bucket === undefined ? { ...given.resolution, id } : { ...given.resolution, id, bucket };
  return Object.freeze(own);
}

/** What it is for all callers. */
function sharedResolution(choice: Choice): SharedResolution {
  const { answer, asked, reason, rollout } = choice;
  const { name, version, contentHash, sourceVersion } = answer.version;
  return {
    ...{ name, version, reason, contentHash, components: answer.components },
    tier: reason === "fallback" ? "fallback" : "memory",
    ...("label" in asked && { label: asked.label }),
    ...(sourceVersion !== undefined && { sourceVersion }),
    ...(rollout && { arm: rollout.arm, rolloutRevision: rollout.revision }),
    ...(rollout?.unresolvedArm !== undefined && { unresolvedArm: rollout.unresolvedArm }),
    traceAttributes: Object.freeze(traceAttributes(choice)),
  };
}
