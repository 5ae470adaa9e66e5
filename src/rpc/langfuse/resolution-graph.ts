import type { Answer } from "../../core/answer.ts";
import { type CompositionTag, compositionTags } from "../../core/composition.ts";
import type { Caller } from "../../core/ports.ts";
import type { Selector } from "../../core/prompt.ts";
import type { Resolver } from "../../core/resolver.ts";
import { idOf } from "./answers.ts";

interface Version {
  name: string;
  version: number;
}

type Node = Version & { id: string };

/** Which version stands in which by composition, as Langfuse tells it: by the id of what includes. */
export interface ResolutionGraph {
  root: Node;
  dependencies: Record<string, Node[]>;
}

/** Null for a prompt that includes nothing. */
export async function resolutionGraph(
  resolver: Resolver,
  caller: Caller,
  { version: root, components }: Answer,
): Promise<ResolutionGraph | null> {
  if (components.length === 0) return null;
  const node = ({ name, version }: Version): Node => ({
    name,
    version,
    id: idOf(caller.project, { name, version }),
  });
  const raw = async (name: string, selector: Selector) =>
    (await resolver.resolve(caller, { name, selector, raw: true })).choice.answer.version;

  /** The component that a tag has led to. */
  async function childOf({ name, selector }: CompositionTag): Promise<Version | undefined> {
    const versions = components.filter((component) => component.name === name);
    if ("version" in selector) return versions.find(({ version }) => version === selector.version);
    if (versions.length === 1) return versions[0];
    const { version: found } = await raw(name, selector);
    // The label may have moved since.
    return versions.find(({ version }) => version === found) ?? versions[0];
  }

  const dependencies: Record<string, Node[]> = {};
  const parents = new Map<string, Node>([[node(root).id, node(root)]]);
  // What is put into the map meanwhile is visited too.
  for (const parent of parents.values()) {
    const { body } = await raw(parent.name, { version: parent.version });
    const tags = compositionTags(body);
    for (const tag of new Map(tags.map((tag) => [tag.raw, tag])).values()) {
      const child = await childOf(tag);
      if (child === undefined) continue;
      const found = node(child);
      dependencies[parent.id] = [...(dependencies[parent.id] ?? []), found];
      parents.set(found.id, found);
    }
  }
  return { root: node(root), dependencies };
}
