import { canonicalBody, contentHash } from "../../core/content-hash.ts";
import { PromptdError } from "../../core/errors.ts";
import { previousMoves, requireSuccessor } from "../../core/mutation-rules.ts";
import type { CreatedVersion, NewVersion } from "../../core/ports.ts";
import type { JsonValue, PromptBody, PromptType } from "../../core/prompt.ts";
import type { SourceEdited } from "../../core/source-journal.ts";
import { type Mutation, requireMovable } from "../mutation.ts";
import { type History, newestOf, requireHandle } from "./answers.ts";
import type { LangsmithApi } from "./api.ts";
import { plannedMoves, putBeside } from "./beside.ts";
import { bodyOf, manifestOf } from "./manifest.ts";

/** Of creates that lose against others at the same moment. */
const ATTEMPTS = 5;

/** A version that is asked for, as it will be kept. */
interface Asked extends NewVersion {
  manifest: JsonValue;
  hash: string;
}

type Created = Omit<CreatedVersion, keyof SourceEdited>;

/** @throws conflict, refused, forbidden, unavailable */
export async function createVersion(
  mutation: Mutation<LangsmithApi>,
  version: NewVersion,
): Promise<Created> {
  const { name } = version;
  requireHandle(name);
  const manifest = manifestOf(version.body);
  // Null is no config.
  const hash = contentHash(canonicalBody({ ...version.body, config: {} }));
  const asked = { ...version, manifest, hash };
  for (let attempt = 1; ; attempt++) {
    const history = await mutation.api.history(name);
    const newest = await newestBody(mutation.api, history);
    const type: PromptType = newest?.type ?? version.body.type;
    requireSuccessor(history && { newest: newestOf(history), type }, asked);
    if (history && newest && contentHash(canonicalBody(newest)) === hash) {
      return putOnExisting(mutation, history, asked);
    }
    const commit = await commitOn(mutation, history, asked).catch(async (thrown: unknown) => {
      const error = PromptdError.from(thrown);
      const lost = error.code === "conflict" && (await wasOvertaken(mutation, history, name));
      if (!lost || attempt === ATTEMPTS) throw error;
    });
    if (commit !== undefined) return afterCommit(mutation, history, asked, commit.id);
  }
}

/** @throws conflict where somebody else was faster */
async function commitOn(
  mutation: Mutation<LangsmithApi>,
  history: History | undefined,
  { name, labels, tags, commitMessage: description, manifest }: Asked,
): Promise<{ id: string }> {
  const { api, send } = mutation;
  await requireMovable(mutation, labels);
  if (history === undefined) await send(() => api.createRepo(name, tags ?? []));
  const parent = history?.commits.at(-1)?.commit_hash;
  return send(() => api.commit(name, { manifest, parent, description }));
}

/** Finds out what a commit became, and puts labels and tags beside it. */
async function afterCommit(
  mutation: Mutation<LangsmithApi>,
  history: History | undefined,
  asked: Asked,
  id: string,
): Promise<Created> {
  const { name, labels, tags, commitMessage: reason, hash: contentHash } = asked;
  const expected = newestOf(history) + 1;
  const created = (version: number) => ({
    kind: "version_created" as const,
    reason,
    versions: [version],
    contentHashes: [contentHash],
    labels: [],
  });
  const { after, version } = await whatCame(mutation, name, id).catch((thrown: unknown) => {
    mutation.done.push(created(expected));
    throw withoutLabels(PromptdError.from(thrown), expected);
  });
  if (version !== expected && asked.expectedLatestVersion !== undefined) {
    mutation.done.push(created(version));
    const message = `somebody else created a version of prompt "${name}" at the same moment`;
    throw withoutLabels(new PromptdError("conflict", message), version);
  }
  const moves = [...new Set(labels)].map((label) => ({ label, version }));
  const planned = plannedMoves(after, moves);
  await putBeside(mutation, after, { planned, tags }, created(version));
  return { version, created: true, contentHash, previous: previousMoves(planned) };
}

/** Which version a commit became: LangSmith tells its hash alone. */
async function whatCame(
  { api }: Mutation<LangsmithApi>,
  name: string,
  id: string,
): Promise<{ after: History; version: number }> {
  const after = await api.history(name);
  const index = after?.commits.findIndex((commit) => commit.id === id) ?? -1;
  if (after !== undefined && index >= 0) return { after, version: index + 1 };
  const message = `prompt "${name}" was deleted in LangSmith meanwhile`;
  throw new PromptdError("conflict", message);
}

function withoutLabels(error: PromptdError, version: number): PromptdError {
  const message = `${error.message}; before that version ${version} was created, without labels and tags`;
  return new PromptdError(error.code, message, { cause: error.cause });
}

/** The newest version stands for the one that was asked for, and takes its labels and tags. */
async function putOnExisting(
  mutation: Mutation<LangsmithApi>,
  history: History,
  { name, labels, tags, commitMessage: reason, hash, evenIfSame }: Asked,
): Promise<Created> {
  if (evenIfSame === true) {
    const message = `the newest version of prompt "${name}" has the same content, and LangSmith makes no commit that changes nothing`;
    throw new PromptdError("refused", message);
  }
  const version = newestOf(history);
  const moves = [...new Set(labels)].map((label) => ({ label, version }));
  const planned = plannedMoves(history, moves);
  const moving = planned.filter(({ from, to }) => from !== to).map(({ label }) => label);
  await requireMovable(
    mutation,
    moving,
    labels.filter((label) => !moving.includes(label)),
  );
  const change = { kind: "labels_set" as const, reason, versions: [], labels: [] };
  await putBeside(mutation, history, { planned, tags }, change);
  return { version, created: false, contentHash: hash, previous: previousMoves(planned) };
}

/** Undefined where there is none, or none that promptd can read. */
async function newestBody(
  api: LangsmithApi,
  history: History | undefined,
): Promise<PromptBody | undefined> {
  const commit = history?.commits.at(-1);
  if (history === undefined || commit === undefined) return undefined;
  const manifest = await api.manifest(history.repo.repo_handle, commit.commit_hash);
  try {
    return bodyOf(manifest);
  } catch {
    return undefined;
  }
}

async function wasOvertaken(
  { api }: Mutation<LangsmithApi>,
  history: History | undefined,
  name: string,
): Promise<boolean> {
  const now = await api.history(name);
  const appeared = (now === undefined) !== (history === undefined);
  return appeared || newestOf(now) !== newestOf(history);
}
