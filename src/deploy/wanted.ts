/** What a folder of prompt files wants a service to hold. */

import { canonicalBody, contentHash } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import { requireValidVersion } from "../core/new-version.ts";
import { LATEST_LABEL } from "../core/prompt.ts";
import { LABELS_OF_UNLABELLED, type PromptFile } from "../files/prompt-file.ts";
import type { Folder } from "../files/read-folder.ts";

export interface Wanted {
  /** Relative to the folder, with `/` between folders. */
  path: string;
  prompt: PromptFile;
  contentHash: string;
  /** Each once, `latest` aside. */
  labels: readonly string[];
}

/** A file that cannot be deployed, under its prompt's name where it is a prompt's. */
export interface Refused {
  path: string;
  name: string;
  why: string;
}

/** Semantic versions as labels: they name one release for ever. */
const RELEASE = /^v(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(-[0-9a-z-]+(\.[0-9a-z-]+)*)?$/;

export function isReleaseLabel(label: string): boolean {
  return RELEASE.test(label);
}

/**
 * @param label in the place of the labels that a file names, releases aside
 * @returns prompts in order of path; a file that the registry would not take is refused
 */
export function wantedOf(
  folder: Pick<Folder, "prompts" | "refused">,
  selects: (name: string) => boolean,
  label?: string,
): { wanted: Wanted[]; refused: Refused[] } {
  const wanted: Wanted[] = [];
  // What has no name may hide any prompt.
  const refused = folder.refused
    .filter(({ name }) => name === undefined || selects(name))
    .map(({ path, name = path, why }) => ({ path, name, why }));
  for (const { path, name, content } of folder.prompts) {
    if (!selects(name)) continue;
    const prompt = { name, ...content };
    try {
      const { labels = LABELS_OF_UNLABELLED, tags = [], commitMessage = "" } = content;
      requireValidVersion({ name, body: content.body, labels, tags, commitMessage });
      const hash = contentHash(canonicalBody(content.body));
      wanted.push({ path, prompt, contentHash: hash, labels: wantedLabels(labels, label) });
    } catch (thrown) {
      if (!(thrown instanceof PromptdError)) throw thrown;
      refused.push({ path, name, why: thrown.message });
    }
  }
  return { wanted, refused };
}

function wantedLabels(labels: readonly string[], label: string | undefined): string[] {
  const kept = label === undefined ? labels : [label, ...labels.filter(isReleaseLabel)];
  return [...new Set(kept)].filter((each) => each !== LATEST_LABEL);
}
