import type { ChangeFeed, Circuit, LastKnownRollouts, PromptKey } from "../cache-ports.ts";
import type { Change } from "../change.ts";
import { promptText } from "../prompt-key.ts";
import { within } from "../within.ts";
import type { ProjectRollout, RolloutLookup } from "./ports.ts";
import { hasEnded, type StandingRollout } from "./rollout.ts";

/** Callers wait so long for a rollout that has changed, and are then answered by the one before. */
const PATIENCE_MS = 1000;

/** What could not be read is read again after this time. */
const RETRY_MS = 500;

/** In the place of a prompt's text: all prompts. */
const ALL = "";

type Prompt = Pick<PromptKey, "project" | "name">;

export interface KnownRolloutsParts {
  lookup: RolloutLookup;
  /** Of the database that holds them. */
  circuit: Circuit;
  feed: ChangeFeed;
  lastKnown: LastKnownRollouts;
  /** Told where a rollout that was just set sends callers. */
  onTarget?: (key: PromptKey) => void;
  /** Told of rollouts that cannot be read. */
  onFault?: (cause: unknown) => void;
}

/**
 * All rollouts that split anybody, so that no call waits for the database; the
 * store bounds their number. Those of a prompt are read again when a change of them
 * is heard of, and callers wait for that; what has ended is dropped at once.
 *
 * It begins with what was last known, which stands for as long as the database
 * cannot be reached.
 */
export class KnownRollouts {
  readonly #parts: KnownRolloutsParts;
  /** By `promptText`, as is all that follows. */
  #known: Map<string, readonly ProjectRollout[]>;
  /** What callers wait for. */
  readonly #waits = new Map<string, Promise<unknown>>();
  /** The newest read of each, until it has led to something: what an older one leads to is of no use. */
  readonly #reads = new Map<string, symbol>();
  /** Prompts of which a change was heard while all are read. */
  readonly #heard = new Set<string>();

  constructor(parts: KnownRolloutsParts) {
    this.#parts = parts;
    this.#known = byPrompt(parts.lastKnown.get());
    parts.feed.subscribe({
      changed: (change) => this.#changed(change),
      lost: () => {
        this.#waits.clear();
        this.#reads.clear();
        this.#heard.clear();
        this.#begin(undefined);
      },
    });
  }

  /** The one that splits a label's callers now; see `settling`. */
  of(prompt: Prompt, label: string): StandingRollout | undefined {
    if (this.#known.size === 0) return undefined;
    const ofPrompt = this.#known.get(promptText(prompt));
    return ofPrompt?.find(({ rollout }) => rollout.label === label)?.rollout;
  }

  /** What has to be waited for before a prompt's rollouts are asked for; it never fails. */
  settling(prompt: Prompt): Promise<unknown> | undefined {
    if (this.#waits.size === 0) return undefined;
    return this.#waits.get(promptText(prompt)) ?? this.#waits.get(ALL);
  }

  /** Whether a change of a prompt's rollouts was heard of that is not read. */
  isDoubtful(prompt: Prompt): boolean {
    if (this.#reads.size === 0) return false;
    return this.#reads.has(ALL) || this.#reads.has(promptText(prompt));
  }

  #changed({ project, name, rollouts = [] }: Change): void {
    if (rollouts.length === 0) return;
    const prompt = { project, name };
    const text = promptText(prompt);
    const ended = new Set(
      rollouts
        .filter(({ current }) => current === undefined || hasEnded(current))
        .map(({ label }) => label),
    );
    const left = this.#known.get(text)?.filter(({ rollout }) => !ended.has(rollout.label));
    this.#keep(text, left ?? []);
    if (this.#reads.has(ALL)) this.#heard.add(text);
    this.#begin(prompt);
  }

  #begin(prompt: Prompt | undefined): void {
    const text = prompt === undefined ? ALL : promptText(prompt);
    const wait = within(PATIENCE_MS, this.#read(text, prompt)).finally(() => {
      if (this.#waits.get(text) === wait) this.#waits.delete(text);
    });
    this.#waits.set(text, wait);
  }

  async #read(text: string, prompt: Prompt | undefined): Promise<void> {
    const { lookup, circuit, feed, onFault } = this.#parts;
    const read = Symbol(text);
    const isNewest = () => this.#reads.get(text) === read;
    this.#reads.set(text, read);
    try {
      const found = await circuit.run(() => lookup.ongoingRollouts(prompt));
      // A label may have moved with a change that was read and not heard of: nobody is sent back by half of it.
      await feed.catchUp();
      if (!isNewest()) return;
      this.#reads.delete(text);
      if (prompt === undefined) this.#keepAll(found);
      else this.#keepRead(text, found);
    } catch (cause) {
      onFault?.(cause);
      if (!isNewest()) return;
      setTimeout(() => {
        if (isNewest()) void this.#read(text, prompt);
      }, RETRY_MS).unref();
    }
  }

  /** What was heard of since is read by itself. */
  #keepAll(found: readonly ProjectRollout[]): void {
    const known = byPrompt(found);
    for (const text of this.#heard) {
      const newer = this.#known.get(text);
      if (newer === undefined) known.delete(text);
      else known.set(text, newer);
    }
    this.#heard.clear();
    this.#known = known;
    this.#parts.lastKnown.put([...known.values()].flat());
  }

  #keepRead(text: string, found: readonly ProjectRollout[]): void {
    const before = this.#known.get(text) ?? [];
    this.#keep(text, found);
    const revisions = new Set(before.map(({ rollout }) => rollout.revision));
    for (const { project, rollout } of found) {
      if (revisions.has(rollout.revision)) continue;
      for (const { target } of rollout.arms) {
        this.#parts.onTarget?.({ project, name: rollout.name, selector: target });
      }
    }
  }

  #keep(text: string, rollouts: readonly ProjectRollout[]): void {
    if (rollouts.length === 0 && !this.#known.has(text)) return;
    if (rollouts.length === 0) this.#known.delete(text);
    else this.#known.set(text, rollouts);
    this.#parts.lastKnown.put([...this.#known.values()].flat());
  }
}

function byPrompt(rollouts: readonly ProjectRollout[]): Map<string, readonly ProjectRollout[]> {
  const known = new Map<string, readonly ProjectRollout[]>();
  for (const each of rollouts) {
    const text = promptText({ project: each.project, name: each.rollout.name });
    known.set(text, [...(known.get(text) ?? []), each]);
  }
  return known;
}
