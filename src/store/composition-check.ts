import { setImmediate } from "node:timers/promises";
import { type Component, compose } from "../core/composition.ts";
import { type Inclusion, PromptdError } from "../core/errors.ts";
import { allowsPrompt } from "../core/keys.ts";
import type { PromptBody, Selector } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import { inclusionsOf } from "./dependencies.ts";
import { loadBody } from "./lookup.ts";
import type { Mutation } from "./mutation.ts";
import { notFound } from "./not-found.ts";

type Version = Component & { body: PromptBody };

/** A version that includes another prompt, and the labels that lead to it. */
type Includer = Inclusion & { labels: ReadonlySet<string> };

/**
 * Whether what labels lead to still composes after some of them were moved. A
 * version that no label leads to may have been broken by that: only its number
 * finds it, and no label can be moved to it.
 *
 * A check sees one state of the database, so what it has read it keeps.
 */
export class CompositionCheck {
  readonly #db: Connection;
  readonly #project: string;
  readonly #promptPatterns: Mutation["promptPatterns"];
  readonly #children = new Map<string, Promise<Version>>();
  readonly #includers = new Map<string, Promise<Includer[]>>();
  readonly #checked = new Set<string>();

  constructor({ db, prompt, promptPatterns }: Pick<Mutation, "db" | "prompt" | "promptPatterns">) {
    this.#db = db;
    this.#project = prompt.project;
    this.#promptPatterns = promptPatterns;
  }

  /**
   * @param versions of the prompt that labels were moved to
   * @throws refused where one of them does not compose, or breaks what includes the prompt by one of the labels
   */
  async require(name: string, versions: Iterable<number>, labels: Iterable<string>): Promise<void> {
    for (const version of new Set(versions)) await this.#compose(name, version);
    await this.#requireIncluders(name, undefined, new Set(labels));
  }

  /** Composes what includes a prompt by this number or by one of these labels, and what includes that. */
  async #requireIncluders(
    name: string,
    version: number | undefined,
    labels: ReadonlySet<string>,
  ): Promise<void> {
    for (const includer of await this.#includersOf(name)) {
      const { childLabel, childVersion } = includer;
      const affected = childLabel === null ? childVersion === version : labels.has(childLabel);
      const key = `${includer.version}/${includer.name}`;
      if (!affected || this.#checked.has(key)) continue;
      this.#checked.add(key);
      if (includer.labels.size > 0) await this.#composeIncluder(includer);
      await this.#requireIncluders(includer.name, includer.version, includer.labels);
    }
  }

  /** @throws refused, without a word of what the caller may not see */
  async #composeIncluder({ name, version }: Includer): Promise<void> {
    try {
      await this.#compose(name, version);
    } catch (cause) {
      const hidden = !allowsPrompt(this.#promptPatterns, name);
      if (!hidden || !(cause instanceof PromptdError) || cause.code !== "refused") throw cause;
      const message = "a prompt that this key may not see includes this one, and would not compose";
      throw new PromptdError("refused", message, { cause });
    }
  }

  async #compose(name: string, version: number): Promise<void> {
    const root = await this.#read(name, { version });
    await compose(root, (child, selector) =>
      kept(this.#children, JSON.stringify([child, selector]), () => this.#read(child, selector)),
    );
    // SQLite answers at once, so a prompt in thousands of others would let nobody else run.
    await setImmediate();
  }

  async #read(name: string, selector: Selector): Promise<Version> {
    const prompt = { project: this.#project, name };
    const found = await loadBody(this.#db, prompt, selector);
    if (found === undefined) throw await notFound(this.#db, prompt, selector);
    return found;
  }

  #includersOf(name: string): Promise<Includer[]> {
    return kept(this.#includers, name, async () => {
      const inclusions = await inclusionsOf(this.#db, { project: this.#project, name });
      const labels = inclusions.length === 0 ? new Map() : await this.#labelsOfIncluders(name);
      return inclusions.map((inclusion) => ({
        ...inclusion,
        labels: labels.get(`${inclusion.version}/${inclusion.name}`) ?? new Set<string>(),
      }));
    });
  }

  async #labelsOfIncluders(name: string): Promise<Map<string, Set<string>>> {
    const rows = await this.#db
      .selectFrom("dependencies as d")
      .innerJoin("labels as l", (join) =>
        join
          .onRef("l.project", "=", "d.project")
          .onRef("l.name", "=", "d.name")
          .onRef("l.version", "=", "d.version"),
      )
      .select(["l.name", "l.version", "l.label"])
      .where("d.project", "=", this.#project)
      .where("d.child_name", "=", name)
      .execute();
    const labels = new Map<string, Set<string>>();
    for (const { name, version, label } of rows) {
      const key = `${version}/${name}`;
      labels.set(key, (labels.get(key) ?? new Set()).add(label));
    }
    return labels;
  }
}

function kept<Value>(values: Map<string, Value>, key: string, read: () => Value): Value {
  const known = values.get(key);
  if (known !== undefined) return known;
  const value = read();
  values.set(key, value);
  return value;
}
