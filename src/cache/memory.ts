import { LRUCache } from "lru-cache";
import type { CachedPrompt, KeptPrompt, MemoryCache, PromptKey } from "../core/cache-ports.ts";
import { keyText, promptText } from "../core/prompt-key.ts";

/** Prompts of which the last change is remembered one by one. */
const MOST_CHANGES = 10_000;

/**
 * A cache in this process's memory, bounded in bytes: the least recently used
 * prompts are dropped. One larger than the whole bound is not kept.
 */
export class Memory implements MemoryCache {
  readonly #prompts: LRUCache<string, KeptPrompt>;
  /** Keys of what is kept, by prompt and by their texts. */
  readonly #keys = new Map<string, Map<string, PromptKey>>();
  /** Revisions of last changes, by prompt. */
  readonly #changes: LRUCache<string, number>;
  /** The highest revision that was dropped from there. */
  #dropped = 0;

  constructor(maxBytes: number) {
    this.#prompts = new LRUCache({
      maxSize: maxBytes,
      dispose: (_, key, reason) => {
        if (reason !== "set") this.#unlist(key);
      },
    });
    this.#changes = new LRUCache({
      max: MOST_CHANGES,
      dispose: (revision, _, reason) => {
        if (reason === "evict") this.#dropped = Math.max(this.#dropped, revision);
      },
    });
  }

  get(key: PromptKey): KeptPrompt | undefined {
    return this.#prompts.get(keyText(key));
  }

  put(key: PromptKey, prompt: KeptPrompt): boolean {
    const text = keyText(key);
    if (prompt.asOf < (this.#changes.get(promptOf(text)) ?? this.#dropped)) return false;
    this.#keep(key, text, prompt, approximateBytes(prompt));
    return true;
  }

  weigh(key: PromptKey, prompt: CachedPrompt, bytes: number): void {
    const text = keyText(key);
    const kept = this.#prompts.peek(text);
    if (kept === undefined || kept !== prompt) return;
    // The size of a value that is there already would not be looked at.
    this.#prompts.delete(text);
    this.#keep(key, text, kept, approximateBytes(kept) + bytes);
  }

  #keep(key: PromptKey, text: string, prompt: KeptPrompt, size: number): void {
    this.#prompts.set(text, prompt, { size });
    if (!this.#prompts.has(text)) return;
    const name = promptOf(text);
    const keys = this.#keys.get(name);
    if (keys === undefined) this.#keys.set(name, new Map([[text, key]]));
    else keys.set(text, key);
  }

  remove(key: PromptKey): void {
    this.#prompts.delete(keyText(key));
  }

  forget(project: string, name: string, revision: number): PromptKey[] {
    const prompt = promptText({ project, name });
    this.#changes.set(prompt, revision);
    const dropped: PromptKey[] = [];
    for (const [text, key] of [...(this.#keys.get(prompt) ?? [])]) {
      const kept = this.#prompts.peek(text);
      if (kept === undefined || kept.asOf >= revision) continue;
      this.#prompts.delete(text);
      dropped.push(key);
    }
    return dropped;
  }

  #unlist(key: string): void {
    const prompt = promptOf(key);
    const keys = this.#keys.get(prompt);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(prompt);
  }

  clear(): void {
    this.#prompts.clear();
    this.#keys.clear();
    this.#changes.clear();
    this.#dropped = 0;
  }
}

/** The prompt of a key's text. */
function promptOf(key: string): string {
  const [project, , name] = key.split("\u0000");
  return `${project}\u0000${name}`;
}

/**
 * What a prompt may come to hold: its text as one or two bytes a unit, again
 * encoded for the wire, and again in segments, of which every `{` may begin one.
 */
function approximateBytes({ version }: KeptPrompt): number {
  const text = JSON.stringify(version.body);
  const braces = text.split("{").length;
  return 2048 + 4 * text.length + 128 * braces + 64 * version.labels.length;
}
