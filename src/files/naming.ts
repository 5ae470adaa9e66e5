/** The rule between the path of a prompt's file and the prompt's name. */

import { extname } from "node:path/posix";
import { PromptdError } from "../core/errors.ts";
import { promptPath } from "./prompt-path.ts";

/**
 * Between a path without its ending and a name.
 *
 * `exact`: they are the same. `kebab`: `support/reasoning_agent` is the prompt
 * `support/reasoning-agent`. A part that holds both signs stays as it is, either way: if
 * the one became the other, nobody could tell them apart on the way back.
 */
const RULES = {
  exact: { name: (stem: string) => stem, stem: (name: string) => name },
  kebab: {
    name: (stem: string) => swapped(stem, "_", "-"),
    stem: (name: string) => swapped(name, "-", "_"),
  },
};

export type NamingRule = keyof typeof RULES;

function swapped(path: string, from: string, to: string): string {
  const parts = path.split("/");
  return parts.map((part) => (part.includes(to) ? part : part.replaceAll(from, to))).join("/");
}

/** A file whose prompt's name is given. The path is relative to the folder of prompts, with its ending. */
export type ListedFile = readonly [path: string, name: string];

/** The path of a prompt's file without its ending, which its content decides. */
export interface FileStem {
  stem: string;
  /** Whether the naming gives the file this prompt's name again. If not, somebody has to remember it. */
  readsBack: boolean;
}

/** A rule, and the files that it does not hold for. */
export class Naming {
  readonly #rule: NamingRule;
  readonly #files: readonly ListedFile[];
  readonly #nameOfStem: ReadonlyMap<string, string>;
  readonly #stemOfName: ReadonlyMap<string, string>;

  /** @param files their endings are of no account, for an edit may change them */
  constructor(rule: NamingRule, files: Iterable<ListedFile> = []) {
    this.#rule = rule;
    this.#files = [...files];
    this.#nameOfStem = new Map(this.#files.map(([path, name]) => [withoutEnding(path), name]));
    this.#stemOfName = new Map(this.#files.map(([path, name]) => [name, withoutEnding(path)]));
  }

  /**
   * The same naming with files that are remembered. They give way to those that it has:
   * what a person wrote into the project file counts more.
   */
  remembering(files: Iterable<ListedFile>): Naming {
    const others = [...files].filter(
      ([path, name]) => !this.#stemOfName.has(name) && !this.#nameOfStem.has(withoutEnding(path)),
    );
    return new Naming(this.#rule, [...others, ...this.#files]);
  }

  /** @param path relative to the folder of prompts, with its ending */
  nameOf(path: string): string {
    return this.#nameOf(withoutEnding(path));
  }

  /**
   * Where a prompt's file stands or is to stand. The rule alone does not reach every name:
   * under `kebab` none with a part that holds `_` and no `-`. Such a prompt has the file of
   * exactly its name.
   *
   * @throws invalid for what makes no safe path, and where the file is another prompt's
   */
  stemOf(name: string): FileStem {
    const listed = this.#stemOfName.get(name);
    if (listed !== undefined) return { stem: promptPath(listed), readsBack: true };
    const exact = promptPath(name);
    for (const stem of [RULES[this.#rule].stem(name), exact]) {
      if (this.#nameOf(stem) === name) return { stem, readsBack: true };
    }
    const owner = this.#nameOfStem.get(exact);
    if (owner === undefined) return { stem: exact, readsBack: false };
    throw new PromptdError(
      "invalid",
      `the file ${exact} is that of the prompt ${JSON.stringify(owner)}: name another for ${JSON.stringify(name)} under files in promptd.yaml`,
    );
  }

  #nameOf(stem: string): string {
    return this.#nameOfStem.get(stem) ?? RULES[this.#rule].name(stem);
  }
}

/**
 * The same for two paths of which some file systems make one file: they tell neither
 * upper from lower case nor the spellings of an accent.
 */
export function caselessPath(path: string): string {
  return path.normalize("NFD").toLowerCase().normalize("NFC");
}

export function withoutEnding(path: string): string {
  return path.slice(0, path.length - extname(path).length);
}
