import { canonicalBody, contentHash } from "../../core/content-hash.ts";
import { PromptdError } from "../../core/errors.ts";
import { previousMoves, requireSuccessor } from "../../core/mutation-rules.ts";
import type { CreatedVersion, NewVersion } from "../../core/ports.ts";
import type { SourceEdited } from "../../core/source-journal.ts";
import { answerOf } from "../faults.ts";
import { type Mutation, requireMovable } from "../mutation.ts";
import { type Entry, hashOf, newestOf, toConfig } from "./answers.ts";
import type { LangfuseApi } from "./api.ts";
import { moveLabels, plannedMoves } from "./set-labels.ts";

/** Of creates that lose against others at the same moment, which Langfuse does not put in a row. */
const ATTEMPTS = 5;

/** @throws conflict, refused, forbidden, unavailable */
export async function createVersion(
  mutation: Mutation<LangfuseApi>,
  version: NewVersion,
): Promise<Omit<CreatedVersion, keyof SourceEdited>> {
  requireLangfuseFormat(version);
  const asked = { ...version, body: { ...version.body, config: toConfig(version.body.config) } };
  const { api } = mutation;
  for (let attempt = 1; ; attempt++) {
    const entry = await api.entry(asked.name);
    requireSuccessor(entry && { newest: newestOf(entry), type: entry.type }, asked);
    const same = await sameVersion(mutation, entry, asked);
    if (entry !== undefined && same !== undefined) {
      return labelExisting(mutation, entry, asked, same);
    }
    try {
      return await create(mutation, entry, asked);
    } catch (thrown) {
      const error = PromptdError.from(thrown);
      const lost =
        answerOf(error).status === 400 && (await wasOvertaken(mutation, entry, asked.name));
      if (!lost || attempt === ATTEMPTS) throw error;
    }
  }
}

async function create(
  mutation: Mutation<LangfuseApi>,
  entry: Entry | undefined,
  asked: NewVersion,
): Promise<Omit<CreatedVersion, keyof SourceEdited>> {
  const { api, done, send } = mutation;
  const { name, body, tags, commitMessage } = asked;
  // Whatever its number will be, it is none that a label stands on.
  const version = newestOf(entry) + 1;
  const planned = await plannedLabels(mutation, entry, asked, version);
  const labels = planned.map(({ label }) => label);
  await requireMovable(mutation, labels);
  const answer = await send(() =>
    api.create({ name, body, labels, commitMessage, ...(tags && { tags }) }),
  );
  const hash = hashOf(answer);
  done.push({
    kind: "version_created",
    reason: commitMessage,
    versions: [answer.version],
    contentHashes: [hash],
    labels: planned.map((label) => ({ ...label, to: answer.version })),
  });
  const previous = previousMoves(planned);
  return { version: answer.version, created: true, contentHash: hash, previous };
}

/** The newest version stands for the one that was asked for, and takes its labels. */
async function labelExisting(
  mutation: Mutation<LangfuseApi>,
  entry: Entry,
  asked: NewVersion,
  hash: string,
): Promise<Omit<CreatedVersion, keyof SourceEdited>> {
  const { name, tags = entry.tags } = asked;
  const all = new Set([...tags, ...entry.tags]).size;
  if (all !== new Set(tags).size || all !== new Set(entry.tags).size) {
    const message = `the newest version of prompt "${name}" has the same content, and Langfuse's API sets tags with a new version alone; change them in Langfuse`;
    throw new PromptdError("refused", message);
  }
  const version = newestOf(entry);
  const planned = await plannedLabels(mutation, entry, asked, version);
  await moveLabels(mutation, entry, planned, asked.commitMessage);
  return { version, created: false, contentHash: hash, previous: previousMoves(planned) };
}

async function plannedLabels(
  mutation: Mutation<LangfuseApi>,
  entry: Entry | undefined,
  { labels }: NewVersion,
  version: number,
) {
  const moves = [...new Set(labels)].map((label) => ({ label, version }));
  return plannedMoves(mutation, entry, moves);
}

/** The content hash of the newest version, where it is that of the version asked for. */
async function sameVersion(
  { api }: Mutation<LangfuseApi>,
  entry: Entry | undefined,
  { name, body, evenIfSame }: NewVersion,
): Promise<string | undefined> {
  if (entry === undefined || evenIfSame === true) return undefined;
  const newest = await api.get(name, { version: newestOf(entry) });
  const hash = hashOf(newest);
  return hash === contentHash(canonicalBody(body)) ? hash : undefined;
}

async function wasOvertaken(
  { api }: Mutation<LangfuseApi>,
  entry: Entry | undefined,
  name: string,
): Promise<boolean> {
  const now = await api.entry(name);
  return newestOf(now) !== newestOf(entry);
}

/** @throws refused */
function requireLangfuseFormat({ body }: NewVersion): void {
  if (body.format === "mustache") return;
  const message = `Langfuse knows templates of format mustache alone, and this one is ${body.format}`;
  throw new PromptdError("refused", message);
}
