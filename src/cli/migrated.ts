/** Whether the registry holds what was carried over. */

import { canonicalBody, contentHash } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import type { Caller } from "../core/ports.ts";
import { LATEST_LABEL, type PromptVersion } from "../core/prompt.ts";
import type { Registry } from "../store/registry.ts";
import type { Carried, Left } from "./carried.ts";

/**
 * Reads a prompt back and tells where it is not as it must be; contents by a hash that is
 * computed anew.
 *
 * @param notYet of a run that wrote nothing: what would have been written
 */
export async function differences(
  registry: Registry,
  caller: Caller,
  wanted: Carried,
  notYet?: { versions: readonly number[]; beside: boolean },
): Promise<Left[]> {
  const { name, versions } = wanted;
  const left: Left[] = [];
  const newest = versions.at(-1)?.version;
  if (newest === undefined) return [];
  let tags: readonly string[] | undefined;
  for (const version of versions) {
    if (notYet?.versions.includes(version.version)) continue;
    const found = await orMissing(registry.load(caller, name, { version: version.version }));
    tags ??= found?.tags;
    const labels = wanted.labels
      .filter((label) => label.version === version.version)
      .map(({ label }) => label);
    const why = fault(found, { ...version, labels }, notYet?.beside !== true);
    if (why !== undefined) left.push({ name, version: version.version, what: "version", why });
  }
  if (notYet?.beside || tags === undefined) return left;
  if (JSON.stringify(tags) !== JSON.stringify(wanted.tags)) {
    const why = `${shown(wanted.tags)} there, ${shown(tags)} here, where they were changed`;
    left.push({ name, what: "tags", why });
  }
  if (notYet !== undefined) return left;
  const latest = await orMissing(registry.find(caller, name, { label: LATEST_LABEL }));
  if (latest !== undefined && latest.version !== newest) {
    const why = `the newest is version ${latest.version} here, and ${newest} there`;
    left.push({ name, version: latest.version, what: "version", why });
  }
  return left;
}

/** The first thing that is not the same. */
function fault(
  found: PromptVersion | undefined,
  wanted: Carried["versions"][number],
  beside: boolean,
): string | undefined {
  if (found === undefined) return "it was deleted here";
  if (contentHash(canonicalBody(found.body)) !== wanted.contentHash) {
    return "there is another content under this number here, which stays";
  }
  const time = wanted.createdAt.toISOString();
  if (found.createdAt.toISOString() !== time) {
    return `it was made ${time} there, ${found.createdAt.toISOString()} here`;
  }
  if (found.author !== wanted.author) return `its author is another one here, ${found.author}`;
  if (found.commitMessage !== wanted.commitMessage) return "its commit message is another one here";
  const labels = [...found.labels].filter((label) => label !== LATEST_LABEL).sort();
  if (beside && JSON.stringify(labels) !== JSON.stringify([...wanted.labels].sort())) {
    return `its labels: ${shown(wanted.labels)} there, ${shown(labels)} here, where they were moved`;
  }
  return undefined;
}

function shown(texts: readonly string[]): string {
  return texts.join(", ") || "none";
}

async function orMissing<Found>(asked: Promise<Found>): Promise<Found | undefined> {
  try {
    return await asked;
  } catch (thrown) {
    if (PromptdError.from(thrown).code === "not_found") return undefined;
    throw thrown;
  }
}
