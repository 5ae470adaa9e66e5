/** Both sides of every prompt, and how they stand to each other. */

import pLimit from "p-limit";
import { PromptdError } from "../core/errors.ts";
import type { Compared } from "../core/sync/plan.ts";
import { stateOf } from "../core/sync/state.ts";
import type { Naming } from "../files/naming.ts";
import type { PassedOver } from "../files/scan.ts";
import { contentKey, sortedTags } from "./contents.ts";
import { type LocalFile, readLocalSide } from "./local-side.ts";
import type { Metadata, PromptRecord } from "./metadata.ts";
import type { Listed, RemoteSide, RemoteVersion } from "./remote-side.ts";
import type { Progress, PromptState } from "./report.ts";

/** Prompts that are looked at together. */
const CONCURRENT = 8;

/** A prompt as it stands on both sides now. */
export interface Surveyed {
  name: string;
  state: PromptState;
  /** Where its file stands, or stood. */
  file?: string;
  /** Why it is unreadable. */
  why?: string;
  /** Of use unless it is unreadable. */
  compared: Compared;
  local?: LocalFile;
  listed?: Listed;
  /** The followed version; absent where it is known without a look that it is the base. */
  remote?: RemoteVersion;
  record?: PromptRecord;
}

export interface Survey {
  /** In order of name. */
  prompts: Surveyed[];
  ignored: PassedOver[];
  /** With what was synced before. */
  naming: Naming;
}

export interface SurveyParts {
  folder: string;
  naming: Naming;
  remote: RemoteSide;
  metadata: Metadata;
  label: string;
  /** Whether a prompt was asked for. */
  isAsked: (name: string) => boolean;
  onProgress: (progress: Progress) => void;
}

/** @throws invalid where the folder cannot be read, and what the other side's list fails with */
export async function survey(parts: SurveyParts): Promise<Survey> {
  const { folder, remote, metadata, label, isAsked, onProgress } = parts;
  const listed = await remote.list(label);
  const known = metadata.files();
  const naming = namingOf(parts.naming, known, listed.keys());
  const local = await readLocalSide(folder, naming, known);
  const all = [...local.files.keys(), ...local.unreadable.keys(), ...listed.keys()];
  const names = [...new Set([...all, ...metadata.names])].filter(isAsked).sort();
  let done = 0;
  const prompts = await pLimit(CONCURRENT).map(names, async (name) => {
    const sides = { local: local.files.get(name), listed: listed.get(name) };
    const found = await compare(name, remote, metadata.get(name), sides);
    onProgress({ phase: "compare", done: ++done, total: names.length });
    const unreadable = local.unreadable.get(name);
    if (unreadable === undefined) return found;
    const { path: file, why } = unreadable;
    return { ...found, state: "unreadable" as const, file, why };
  });
  return { prompts, ignored: local.ignored, naming };
}

/** Files keep the prompts that they were synced as. A new one may also be of exactly the name that is there. */
function namingOf(
  naming: Naming,
  known: ReadonlyMap<string, string>,
  there: Iterable<string>,
): Naming {
  const names = new Set(there);
  const exact = [...names]
    .map((name) => [`${name}.md`, name] as const)
    .filter(([path]) => !names.has(naming.nameOf(path)));
  return naming.remembering(known).remembering(exact);
}

async function compare(
  name: string,
  side: RemoteSide,
  record: PromptRecord | undefined,
  { local, listed }: { local: LocalFile | undefined; listed: Listed | undefined },
): Promise<Surveyed> {
  const compared: Compared = {
    base: record?.base ?? undefined,
    local: local?.key,
    remote: undefined,
    ...(record?.edited && { edited: true }),
    ...(local && { localChangedAt: local.changedAt }),
  };
  const file = local?.path ?? record?.file;
  const found: Omit<Surveyed, "state"> = {
    name,
    ...(file !== undefined && { file }),
    compared,
    ...(local && { local }),
    ...(listed && { listed }),
    ...(record && { record }),
  };
  if (listed?.version === undefined) return judged(found);
  if (record !== undefined && isAsBefore(listed, record)) {
    compared.remote = compared.base;
    compared.remoteChangedAt = listed.updatedAt.getTime();
    return judged(found);
  }
  try {
    const remote = await side.load(name, listed.version);
    compared.remote = contentKey(remote);
    compared.remoteChangedAt = remote.createdAt.getTime();
    return judged({ ...found, remote });
  } catch (thrown) {
    if (!(thrown instanceof PromptdError)) throw thrown;
    return { ...found, state: "unreadable", why: `the other side: ${thrown.message}` };
  }
}

function judged(found: Omit<Surveyed, "state">): Surveyed {
  return { ...found, state: stateOf(found.compared) ?? "gone" };
}

/** Whether a list is enough to know that the followed version is the one that was synced: versions never change. */
function isAsBefore({ version, tags, updatedAt }: Listed, record: PromptRecord): boolean {
  return (
    record.base !== null &&
    version === record.remote_version &&
    updatedAt.toISOString() === record.remote_updated_at &&
    sortedTags(tags).join("\n") === record.tags.join("\n")
  );
}
