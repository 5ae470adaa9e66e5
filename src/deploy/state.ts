/** What a running promptd holds, as far as a deploy has to know. */

import pLimit from "p-limit";
import { LabelProtection } from "../../gen/promptd/v1/prompt_pb.ts";
import { type Rollout, Rollout_State as State } from "../../gen/promptd/v1/rollout_pb.ts";
import type { Service } from "../client/service.ts";
import { ServiceSource } from "../client/source.ts";
import { PromptdError } from "../core/errors.ts";
import { DEFAULT_PROJECT } from "../core/keys.ts";
import type { PromptType, VersionInfo } from "../core/prompt.ts";
import { LIMITS } from "../core/validate.ts";
import type { Wanted } from "./wanted.ts";

/** Calls to the service at the same time. */
export const CONCURRENCY = 8;

/** The newest mostly tell all, and a Langfuse behind the service is asked for each. */
const VERSIONS_AT_ONCE = 50;

/** A service knows the caller by the key of the connection. */
export const CALLER = { project: DEFAULT_PROJECT, actor: "deploy" };

export interface HeldPrompt {
  type: PromptType;
  revision: number;
  tags: readonly string[];
  /** Newest first; those that nobody needs may be missing at the end. */
  versions: readonly Pick<VersionInfo, "version" | "contentHash" | "labels">[];
}

export interface HeldRollout {
  /** Number of its last change. */
  revision: number;
  state: "running" | "paused" | "ended";
  /** Weights in hundredths of a percent. */
  arms: readonly {
    name: string;
    target: { version: number } | { label: string };
    weight: number;
  }[];
}

export interface Held {
  /** By name; absent where there is no such prompt. */
  prompts: ReadonlyMap<string, HeldPrompt>;
  /** By `rolloutKey`. */
  rollouts: ReadonlyMap<string, HeldRollout>;
  /** Labels that a second key has to approve. */
  approval: ReadonlySet<string>;
  pending: readonly HeldPending[];
}

/** Labels that move once they are approved. */
export interface HeldPending {
  id: string;
  name: string;
  moves: readonly { label: string; fromVersion: number; toVersion: number }[];
}

interface Question {
  wanted: readonly Wanted[];
  /** Prompts that have this label and are none of `files`, where they shall lose it. */
  surplus?: { label: string; isSurplus: (name: string) => boolean };
  /** Rollouts that have ended are begun anew, which needs their revision. */
  endedRollouts: boolean;
}

/**
 * @param onProgress told how many prompts were looked at
 * @returns what is held, and the names of surplus prompts in order
 * @throws what the service answers
 */
export async function readHeld(
  service: Service,
  { wanted, surplus, endedRollouts }: Question,
  onProgress: (done: number, total: number) => void,
): Promise<{ held: Held; surplusNames: string[] }> {
  const names = surplus ? await namesWith(service, surplus.label) : [];
  const surplusNames = names.filter((name) => surplus?.isSurplus(name));
  const asked = [
    ...wanted.map(({ prompt, contentHash, labels }) => ({
      name: prompt.name,
      isEnough: (versions: HeldPrompt["versions"]) => tellsAll(versions, labels, contentHash),
    })),
    ...surplusNames.map((name) => ({
      name,
      isEnough: (versions: HeldPrompt["versions"]) => tellsAll(versions, [surplus?.label ?? ""]),
    })),
  ];
  const prompts = new Map<string, HeldPrompt>();
  let done = 0;
  const source = new ServiceSource(service);
  await pLimit(CONCURRENCY).map(asked, async ({ name, isEnough }) => {
    const found = await readPrompt(source, name, isEnough);
    if (found !== undefined) prompts.set(name, found);
    onProgress(++done, asked.length);
  });
  const held = {
    prompts,
    rollouts: await readRollouts(service, endedRollouts),
    approval: await readApproval(service),
    pending: await readPending(service),
  };
  return { held, surplusNames };
}

/** Neither a name nor a label holds what stands between them. */
export function rolloutKey(name: string, label: string): string {
  return `${name}\u0000${label}`;
}

/** The version that a label points at; 0 where it is not there. */
export function placeOf(prompt: HeldPrompt | undefined, label: string): number {
  return prompt?.versions.find(({ labels }) => labels.includes(label))?.version ?? 0;
}

/**
 * @param isEnough whether older versions need not be asked for
 * @returns undefined where there is no such prompt
 */
export async function readPrompt(
  source: ServiceSource,
  name: string,
  isEnough: (versions: HeldPrompt["versions"]) => boolean,
): Promise<HeldPrompt | undefined> {
  const versions: VersionInfo[] = [];
  let first: Omit<HeldPrompt, "versions"> | undefined;
  try {
    for await (const page of source.versionPages(CALLER, name, VERSIONS_AT_ONCE)) {
      versions.push(...page.items);
      // Of the first page: what is changed while more are read is a conflict later.
      first ??= page;
      if (isEnough(versions)) break;
    }
  } catch (thrown) {
    if (thrown instanceof PromptdError && thrown.code === "not_found") return undefined;
    throw thrown;
  }
  if (first === undefined) return undefined;
  const { type, revision, tags } = first;
  return { type, revision, tags, versions };
}

/** Whether all labels are found, and the version that holds the content. */
export function tellsAll(
  versions: HeldPrompt["versions"],
  labels: readonly string[],
  contentHash?: string,
): boolean {
  const found = new Set(versions.flatMap((version) => version.labels));
  if (!labels.every((label) => found.has(label))) return false;
  return (
    contentHash === undefined ||
    versions.some(
      (version, index) =>
        version.contentHash === contentHash &&
        (index === 0 || version.labels.some((label) => labels.includes(label))),
    )
  );
}

async function namesWith({ prompts }: Service, label: string): Promise<string[]> {
  const infos = await allPages(async (page) => {
    const { prompts: items, nextPageToken } = await prompts.listPrompts({ ...page, label });
    return { items, nextPageToken };
  });
  return infos.map(({ name }) => name);
}

async function readRollouts({ rollouts }: Service, ended: boolean) {
  const states = ended ? [] : [State.RUNNING, State.PAUSED];
  const all = await allPages(async (page) => {
    const { rollouts: items, nextPageToken } = await rollouts.listRollouts({ ...page, states });
    return { items, nextPageToken };
  });
  return new Map(all.map((each) => [rolloutKey(each.name, each.label), toHeldRollout(each)]));
}

function toHeldRollout({ revision, state, arms }: Rollout): HeldRollout {
  return {
    revision: Number(revision),
    state: state === State.RUNNING ? "running" : state === State.PAUSED ? "paused" : "ended",
    arms: arms.map(({ name, target, weight }) => ({
      name,
      target: target.case === "label" ? { label: target.value } : { version: target.value ?? 0 },
      weight,
    })),
  };
}

async function readApproval({ policies }: Service): Promise<Set<string>> {
  const all = await allPages(async (page) => {
    const { policies: items, nextPageToken } = await policies.listLabelPolicies(page);
    return { items, nextPageToken };
  });
  const needing = all.filter(({ protection }) => protection === LabelProtection.APPROVAL);
  return new Set(needing.map(({ label }) => label));
}

function readPending({ policies }: Service): Promise<HeldPending[]> {
  return allPages(async (page) => {
    const { pending: items, nextPageToken } = await policies.listPendingChanges(page);
    return { items, nextPageToken };
  });
}

async function allPages<Item>(
  fetch: (page: {
    pageSize: number;
    pageToken: string;
  }) => Promise<{ items: readonly Item[]; nextPageToken: string }>,
): Promise<Item[]> {
  const all: Item[] = [];
  let pageToken = "";
  do {
    const page = await fetch({ pageSize: LIMITS.pageSize, pageToken });
    all.push(...page.items);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return all;
}
