/** What LangSmith answers, and what it means here. */

import { z } from "zod";
import { canonicalBody, contentHash, sha256 } from "../../core/content-hash.ts";
import { PromptdError } from "../../core/errors.ts";
import { LISTED, labelsText, selectionNotFound, versionsText } from "../../core/not-found.ts";
import {
  LATEST_LABEL,
  type PromptBody,
  type PromptVersion,
  type Selector,
} from "../../core/prompt.ts";
import type { Sighting } from "../../core/source-journal.ts";
import { Validator } from "../../core/validate.ts";
import { bodyOf } from "./manifest.ts";

/** LangSmith's times may lack their zone, which is UTC. */
const time = z.iso
  .datetime({ offset: true, local: true })
  .transform((text) => new Date(/(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`));

export const repoAnswer = z.object({
  repo_handle: z.string(),
  tags: z.array(z.string()),
  num_commits: z.int().min(0),
  last_commit_hash: z.string().nullish(),
  updated_at: time,
  /** The names alone of what points at its commits; older servers do not tell. */
  commit_tags: z.array(z.string()).nullish(),
});

/** A prompt's series of commits. */
export type Repo = z.output<typeof repoAnswer>;

export const commitAnswer = z.object({
  id: z.string(),
  commit_hash: z.string(),
  created_at: time,
  description: z.string().nullish(),
  /** The author's. */
  full_name: z.string().nullish(),
});

export type Commit = z.output<typeof commitAnswer>;

const tag = z.object({ tag_name: z.string(), commit_id: z.string(), updated_at: time });

/** A label: what LangSmith calls a tag of a commit. */
export type CommitTag = z.output<typeof tag>;

export const commitTagsAnswer = z.array(tag);

export const manifestAnswer = z.object({ commit_hash: z.string(), manifest: z.unknown() });

export const createdAnswer = z.union([
  z.object({ commit: z.object({ id: z.string(), commit_hash: z.string() }) }),
  z.object({ id: z.string(), commit_hash: z.string() }).transform((commit) => ({ commit })),
]);

/** A prompt with all that stands beside its manifests. */
export interface History {
  repo: Repo;
  /** Oldest first: version 1 is the first. */
  commits: readonly Commit[];
  /** Those that were moved last first; without `latest`, which nobody can move. */
  tags: readonly CommitTag[];
}

const HANDLE = /^[a-z0-9][a-z0-9_-]*$/;

/** Whether a prompt of this name can be there. */
export function isHandle(name: string): boolean {
  return HANDLE.test(name);
}

/** @throws refused */
export function requireHandle(name: string): void {
  if (isHandle(name)) return;
  const message = `prompt "${name}" cannot be made in LangSmith, which names prompts with a-z, 0-9, - and _ alone, and has no folders`;
  throw new PromptdError("refused", message);
}

/** The newest version; 0 where there is none. */
export function newestOf(history: History | undefined): number {
  return history?.commits.length ?? 0;
}

/** Where each label stands; `latest` too. */
export function placesOf(history: History | undefined): Map<string, number> {
  if (history === undefined) return new Map();
  const numbers = new Map(history.commits.map(({ id }, index) => [id, index + 1]));
  const places = new Map<string, number>();
  for (const { tag_name, commit_id } of history.tags) {
    const version = numbers.get(commit_id);
    if (version !== undefined) places.set(tag_name, version);
  }
  return places.set(LATEST_LABEL, newestOf(history));
}

/** The labels of a version, as `PromptVersion` has them. */
export function labelsOf(history: History, version: number): string[] {
  return [...placesOf(history)].flatMap(([label, at]) => (at === version ? label : []));
}

/** Which version a selector leads to. @throws not_found, saying what there is instead */
export function selected(
  history: History,
  selector: Selector,
): { version: number; commit: Commit } {
  const places = placesOf(history);
  const version = "version" in selector ? selector.version : places.get(selector.label);
  const commit = version === undefined ? undefined : history.commits[version - 1];
  if (version !== undefined && commit !== undefined) return { version, commit };
  const newest = newestOf(history);
  const first = history.commits.slice(0, LISTED).map((_, index) => index + 1);
  const labels = [...places.keys()].sort();
  const existing =
    "version" in selector
      ? versionsText(first, newest, newest)
      : labelsText(labels.slice(0, LISTED), labels.length);
  throw selectionNotFound({ name: history.repo.repo_handle }, selector, existing);
}

/** @throws refused for what promptd has no counterpart for, or its answers could not hold */
export function toVersion(
  history: History,
  version: number,
  manifest: unknown,
  revision: number,
): PromptVersion {
  const { repo, tags } = history;
  const { commit } = selected(history, { version });
  const name = repo.repo_handle;
  const body = readable(name, version, manifest);
  const times = [repo, ...tags].map(({ updated_at }) => updated_at.getTime());
  return {
    name,
    type: body.type,
    version,
    contentHash: contentHash(canonicalBody(body)),
    revision,
    updatedAt: new Date(Math.max(...times)),
    body,
    labels: labelsOf(history, version),
    tags: repo.tags,
    commitMessage: commit.description ?? "",
    author: commit.full_name ?? "",
    createdAt: commit.created_at,
    sourceVersion: commit.commit_hash,
  };
}

function readable(name: string, version: number, manifest: unknown): PromptBody {
  try {
    const body = bodyOf(manifest);
    const validator = new Validator();
    validator.body(body);
    validator.done();
    return body;
  } catch (cause) {
    const message = `prompt "${name}" v${version} of LangSmith is none of promptd's: ${PromptdError.from(cause).message}`;
    throw new PromptdError("refused", message, { cause });
  }
}

/** @param found undefined for a prompt that is not there, or has no version */
export function toSighting(
  name: string,
  found: { repo: Repo; tags: readonly CommitTag[] } | undefined,
): Sighting {
  if (found === undefined || found.repo.num_commits === 0) {
    return { name, fingerprint: undefined, updatedAt: 0 };
  }
  const { repo, tags } = found;
  const { num_commits, last_commit_hash, updated_at } = repo;
  const places = tags.map(({ tag_name, commit_id }) => [tag_name, commit_id]).sort();
  const all = [num_commits, last_commit_hash, repo.tags, places, updated_at];
  return { name, fingerprint: sha256(JSON.stringify(all)), updatedAt: updated_at.getTime() };
}
