import type { Caller, CatalogFilter, Edit, LabelEdit, NewVersion, PromptSource } from "./ports.ts";
import type { Selector } from "./prompt.ts";

/** Where the prompts of each project live: some projects have a source of their own, the others share one. */
export class ProjectSources implements PromptSource {
  readonly #own: ReadonlyMap<string, PromptSource>;
  readonly #shared: PromptSource;

  /** @param own by project */
  constructor(own: ReadonlyMap<string, PromptSource>, shared: PromptSource) {
    this.#own = own;
    this.#shared = shared;
  }

  find(caller: Caller, name: string, selector: Selector) {
    return this.#of(caller).find(caller, name, selector);
  }

  load(caller: Caller, name: string, selector: Selector) {
    return this.#of(caller).load(caller, name, selector);
  }

  listPrompts(
    caller: Caller,
    filter: { label?: string; tag?: string; folder?: string },
    page: { size: number; after?: string },
  ) {
    return this.#of(caller).listPrompts(caller, filter, page);
  }

  catalog(caller: Caller, filter: CatalogFilter, page: { size: number; skip: number }) {
    return this.#of(caller).catalog(caller, filter, page);
  }

  listVersions(
    caller: Caller,
    name: string,
    filter: { label?: string },
    page: { size: number; before?: number },
  ) {
    return this.#of(caller).listVersions(caller, name, filter, page);
  }

  createVersion(caller: Caller, version: NewVersion) {
    return this.#of(caller).createVersion(caller, version);
  }

  setLabels(caller: Caller, edit: LabelEdit) {
    return this.#of(caller).setLabels(caller, edit);
  }

  setTags(caller: Caller, edit: Edit & { tags: readonly string[] }) {
    return this.#of(caller).setTags(caller, edit);
  }

  deleteVersions(caller: Caller, edit: Edit & { versions: readonly number[] | "all" }) {
    return this.#of(caller).deleteVersions(caller, edit);
  }

  #of({ project }: Caller): PromptSource {
    return this.#own.get(project) ?? this.#shared;
  }
}
