import { PromptdError, type Refusal } from "./errors.ts";
import type { PromptBody, Selector } from "./prompt.ts";
import { LIMITS } from "./validate.ts";

/**
 * Levels of prompts below the root. Langfuse counts the root as one of its 5;
 * what composes there composes here too.
 */
export const MAX_COMPOSITION_DEPTH = 5;

/** Different versions that one prompt may be composed of, itself aside. */
export const MAX_COMPONENTS = LIMITS.compositionTags;

/** UTF-8 of a composed template, roles included: as much as one may hold that is not composed. */
const MAX_COMPOSED_BYTES = LIMITS.templateBytes;

/** A place in a template where another prompt's text belongs. */
export interface CompositionTag {
  raw: string;
  name: string;
  selector: Selector;
}

/** A version that stands, by composition, in another one's template. */
export interface Component {
  name: string;
  version: number;
  contentHash: string;
}

/** The prompt that is composed. Its version may be one that is just being created. */
export interface CompositionRoot {
  name: string;
  version: number;
  body: PromptBody;
}

/** Follows a tag, children of the version that it finds left as they are. @throws not_found */
export type LoadComponent = (
  name: string,
  selector: Selector,
) => Promise<Component & { body: PromptBody }>;

export interface Composed {
  /** The root's own object where it has no tag. */
  body: PromptBody;
  /** Each version once, in the order in which they were first met. */
  components: Component[];
}

/** All composition tags of a body, in order, repeated ones too. */
export function compositionTags(body: PromptBody): CompositionTag[] {
  if (body.type === "text") return findTags(body.template);
  return body.template.flatMap((item) =>
    item.type === "chatmessage" ? findTags(item.content) : [],
  );
}

/**
 * Puts other prompts' text in the place of composition tags, in theirs too.
 * Text is inserted, not parsed again: two halves of a tag never become one.
 *
 * Each version is loaded and expanded once, whatever number of tags leads to
 * it, so the work is bounded by the size of the versions and not by the number
 * of ways through them.
 *
 * @throws refused where a tag leads to what does not exist, is no text prompt,
 * has another format or closes a circle, and where depth, components or size pass their bounds
 */
export async function compose(root: CompositionRoot, load: LoadComponent): Promise<Composed> {
  if (compositionTags(root.body).length === 0) return { body: root.body, components: [] };
  return new Composition(root, load).run();
}

const OPENING = "@@@langfusePrompt:";
const CLOSING = "@@@";

/**
 * Name first, then version or label, and nothing else. A label may be one that
 * promptd never gives out: it is better refused than sent to a model as text.
 */
const INSIDE =
  /^name=(?<name>[^|\p{Cc}]{1,512})\|(?:version=(?<version>[1-9]\d{0,9})|label=(?<label>[^|\p{Cc}]{1,36}))$/u;

const MAX_VERSION = 2 ** 32 - 1;

function findTags(text: string): (CompositionTag & { index: number })[] {
  const tags: (CompositionTag & { index: number })[] = [];
  let index = text.indexOf(OPENING);
  while (index !== -1) {
    const close = text.indexOf(CLOSING, index + OPENING.length);
    if (close === -1) break;
    const tag = parseTag(text.slice(index, close + CLOSING.length));
    if (tag !== undefined) tags.push({ ...tag, index });
    // The end of what is no tag may be the start of one.
    index = text.indexOf(OPENING, tag === undefined ? close : close + CLOSING.length);
  }
  return tags;
}

function parseTag(raw: string): CompositionTag | undefined {
  const inside = raw.slice(OPENING.length, -CLOSING.length);
  const { name, version, label } = INSIDE.exec(inside)?.groups ?? {};
  if (name === undefined) return undefined;
  if (label !== undefined) return { raw, name, selector: { label } };
  if (Number(version) > MAX_VERSION) return undefined;
  return { raw, name, selector: { version: Number(version) } };
}

interface Version {
  name: string;
  version: number;
}

/** A text whose tags are replaced. */
interface Expanded {
  text: string;
  bytes: number;
  /** Levels of prompts inside it. */
  height: number;
}

/** One run of `compose`, and what it has found out so far. */
class Composition {
  readonly #root: CompositionRoot;
  readonly #load: LoadComponent;
  readonly #components = new Map<string, Component>();
  readonly #expandedByVersion = new Map<string, Expanded>();
  /** By the raw tag, which spells name and selector. */
  readonly #expandedByTag = new Map<string, Expanded>();

  constructor(root: CompositionRoot, load: LoadComponent) {
    this.#root = root;
    this.#load = load;
  }

  async run(): Promise<Composed> {
    const body = await this.#composeRoot();
    return { body, components: [...this.#components.values()] };
  }

  async #composeRoot(): Promise<PromptBody> {
    const { body } = this.#root;
    const path = [this.#root];
    if (body.type === "text") {
      return { ...body, template: (await this.#expand(body.template, path)).text };
    }
    const template: typeof body.template = [];
    let bytes = 0;
    for (const item of body.template) {
      if (item.type === "placeholder") {
        template.push(item);
        continue;
      }
      bytes += Buffer.byteLength(item.role);
      const content = await this.#expand(item.content, path, bytes);
      bytes += content.bytes;
      template.push({ ...item, content: content.text });
    }
    return { ...body, template };
  }

  /**
   * @param path leads from the root to the version that the text is of
   * @param before bytes of the same template, counted against the same bound
   */
  async #expand(text: string, path: readonly Version[], before = 0): Promise<Expanded> {
    const expanded: Expanded = { text: "", bytes: 0, height: 0 };
    const append = (piece: string, bytes: number) => {
      expanded.bytes += bytes;
      // Counted first, joined second: nothing large is built only to be refused.
      if (before + expanded.bytes > MAX_COMPOSED_BYTES) throw tooLarge(path);
      expanded.text += piece;
    };
    let end = 0;
    for (const tag of findTags(text)) {
      const own = text.slice(end, tag.index);
      append(own, Buffer.byteLength(own));
      // Awaited only when new: a template may hold tens of thousands of the same tag.
      const child = this.#expandedByTag.get(tag.raw) ?? (await this.#expandTag(tag, path));
      if (path.length + child.height > MAX_COMPOSITION_DEPTH) throw tooDeep(path, tag);
      append(child.text, child.bytes);
      expanded.height = Math.max(expanded.height, child.height + 1);
      end = tag.index + tag.raw.length;
    }
    const rest = text.slice(end);
    append(rest, Buffer.byteLength(rest));
    return expanded;
  }

  async #expandTag(tag: CompositionTag, path: readonly Version[]): Promise<Expanded> {
    if (tag.name === this.#root.name) throw circular(path, tag);
    if (path.length > MAX_COMPOSITION_DEPTH) throw tooDeep(path, tag);
    const component = await this.#loadComponent(tag, path);
    const { name, version, contentHash } = component;
    const key = `${version}/${name}`;

    // What is known already has no circle in it, or it would have been refused.
    let expanded = this.#expandedByVersion.get(key);
    if (expanded === undefined) {
      if (path.some((on) => on.name === name && on.version === version)) {
        throw circular(path, { name, selector: { version } });
      }
      const text = this.#includable(component, tag, path);
      this.#components.set(key, { name, version, contentHash });
      if (this.#components.size > MAX_COMPONENTS) throw tooManyComponents(this.#root);
      expanded = await this.#expand(text, [...path, { name, version }]);
      this.#expandedByVersion.set(key, expanded);
    }
    this.#expandedByTag.set(tag.raw, expanded);
    return expanded;
  }

  async #loadComponent(tag: CompositionTag, path: readonly Version[]) {
    try {
      return await this.#load(tag.name, tag.selector);
    } catch (cause) {
      if (!(cause instanceof PromptdError) || cause.code !== "not_found") throw cause;
      const message = `${includer(path)} includes ${tagged(tag)}, which does not exist`;
      const { name: child, selector } = tag;
      throw refused(message, { rule: "child_missing", child, selector }, cause);
    }
  }

  /** The child's template. @throws refused where it does not fit into its parent */
  #includable(
    child: Version & { body: PromptBody },
    { selector }: CompositionTag,
    path: readonly Version[],
  ): string {
    const { format } = this.#root.body;
    const { body } = child;
    const inclusion = `${includer(path)} includes ${versioned(child)}`;
    if (body.type !== "text") {
      const message = `${inclusion}, which is a chat prompt; only text prompts can be included`;
      throw refused(message, { rule: "child_not_text", child: child.name, selector });
    }
    if (body.format !== format) {
      throw refused(
        `${inclusion}, whose template format is ${body.format} and not ${format}; ` +
          "one template has one format",
      );
    }
    return body.template;
  }
}

function versioned({ name, version }: Version): string {
  return `${name} v${version}`;
}

function tagged({ name, selector }: Pick<CompositionTag, "name" | "selector">): string {
  return "version" in selector
    ? versioned({ name, version: selector.version })
    : `${name} (label ${selector.label})`;
}

/** The path's last version: the one whose text is being expanded. */
function includer(path: readonly Version[]): string {
  return path.slice(-1).map(versioned).join();
}

function chain(path: readonly Version[], last: string): string {
  return [...path.map(versioned), last].join(" → ");
}

function refused(message: string, refusal?: Refusal, cause?: unknown): PromptdError {
  return new PromptdError("refused", message, { cause, ...(refusal && { refusal }) });
}

function circular(path: readonly Version[], last: Pick<CompositionTag, "name" | "selector">) {
  const message = `a prompt cannot include itself: ${chain(path, tagged(last))}`;
  return refused(message, { rule: "circular", child: last.name, selector: last.selector });
}

function tooDeep(path: readonly Version[], tag: CompositionTag): PromptdError {
  return refused(
    `prompts can be included at most ${MAX_COMPOSITION_DEPTH} levels deep: ${chain(path, tagged(tag))}`,
  );
}

function tooLarge(path: readonly Version[]): PromptdError {
  return refused(
    `${includer(path)} with all that it includes is larger than ${MAX_COMPOSED_BYTES} bytes (1 MiB of UTF-8)`,
  );
}

function tooManyComponents(root: Version): PromptdError {
  return refused(
    `${versioned(root)} includes more than ${MAX_COMPONENTS} different prompt versions`,
  );
}
