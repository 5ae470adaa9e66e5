/** What of a prompt elsewhere promptd can hold, and what it cannot. */

import { PromptdError } from "../core/errors.ts";
import { LATEST_LABEL, type LabelMove, type PromptVersion } from "../core/prompt.ts";
import { LIMITS, Validator } from "../core/validate.ts";
import type { Held } from "../library/remotes.ts";
import type { AdoptedVersion } from "../store/adoptions.ts";

/** Something that was not carried over, or is not here as it is there. */
export interface Left {
  name: string;
  version?: number;
  what: "prompt" | "version" | "label" | "tags" | "commit message" | "author" | "composition";
  why: string;
}

/** A version and the labels that it has there. */
export type Loaded = AdoptedVersion & Pick<PromptVersion, "contentHash" | "labels">;

/** A prompt as it must stand here. */
export interface Carried {
  name: string;
  versions: Omit<Loaded, "body">[];
  labels: readonly (LabelMove & { contentHash: string })[];
  tags: readonly string[];
}

/** @throws invalid for a name that promptd does not allow */
export function requireName(name: string): void {
  const fault = faultOf((validator) => validator.name(name));
  if (fault !== undefined) throw new PromptdError("invalid", fault);
}

/** A version without what promptd cannot hold beside it. */
export function withinLimits(found: Omit<PromptVersion, "updatedAt">): {
  loaded: Loaded;
  left: Left[];
} {
  const { name, version, body, contentHash, labels, createdAt } = found;
  const left: Left[] = [];
  const message = (text: string, what: "commit message" | "author") => {
    const fault = faultOf((validator) => validator.message(text, what));
    if (fault === undefined) return text;
    left.push({ name, version, what, why: `${fault}; what is beyond that was left out` });
    const characters = [...text.toWellFormed().replaceAll("\u0000", "")];
    return characters.slice(0, LIMITS.messageCharacters).join("");
  };
  const commitMessage = message(found.commitMessage, "commit message");
  const author = message(found.author, "author");
  return {
    loaded: { version, body, contentHash, labels, createdAt, commitMessage, author },
    left,
  };
}

/** The labels and tags that go with these versions. */
export function carried(held: Held, versions: Carried["versions"]) {
  const { name } = held;
  const left: Left[] = [];
  const labels = new Map<string, Carried["labels"][number]>();
  const seen = new Set([LATEST_LABEL]);
  for (const { version, contentHash, labels: own } of versions) {
    for (const label of own.filter((each) => each !== LATEST_LABEL)) {
      const fault = faultOf((validator) => validator.label(label, `label ${label}`));
      const twice = seen.has(label) && `label ${label} was moved while it was read; run this again`;
      const why = fault ?? (twice || undefined);
      seen.add(label);
      if (why === undefined) labels.set(label, { label, version, contentHash });
      else left.push({ name, version, what: "label", why });
    }
  }
  for (const label of held.labels.filter((each) => !seen.has(each))) {
    const why = `label ${label} is on a version that was not carried over`;
    left.push({ name, what: "label", why });
  }
  const tags = [...new Set(held.tags)].filter((tag) => {
    const why = faultOf((validator) => validator.tag(tag, `tag ${tag.slice(0, 100)}`));
    if (why !== undefined) left.push({ name, what: "tags", why });
    return why === undefined;
  });
  if (tags.length > LIMITS.tags) {
    const why = `expected at most ${LIMITS.tags}, found ${tags.length}; the others were left out`;
    left.push({ name, what: "tags", why });
  }
  return { labels: [...labels.values()], tags: tags.slice(0, LIMITS.tags), left };
}

function faultOf(check: (validator: Validator) => void): string | undefined {
  const validator = new Validator();
  check(validator);
  try {
    validator.done();
    return undefined;
  } catch (thrown) {
    return PromptdError.from(thrown).message;
  }
}
