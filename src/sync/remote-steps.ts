/** What is done about a prompt on the other side. */

import { PromptdError } from "../core/errors.ts";
import { requireValidVersion } from "../core/new-version.ts";
import type { NewVersion } from "../core/ports.ts";
import { LATEST_LABEL } from "../core/prompt.ts";
import type { FileContent } from "../files/header.ts";
import { type Content, contentKey, sortedTags } from "./contents.ts";
import type { Prepared } from "./folder-steps.ts";
import { contentOf, fileOf, type LocalFile } from "./local-side.ts";
import { holdsMarkers } from "./merge.ts";
import { noteBase, noteFile, noteTransfer } from "./notes.ts";
import type { Bench } from "./parts.ts";
import type { Surveyed } from "./survey.ts";

/**
 * The file becomes a version, which follows the newest that was seen: whoever creates one
 * meanwhile makes a conflict of it.
 *
 * @throws invalid, and conflict for a merge that is not decided
 */
export async function prepareSend(bench: Bench, found: Surveyed): Promise<Prepared> {
  const { name, local, listed, record } = found;
  if (local === undefined) throw new TypeError("a file that is not there is sent");
  // Whatever is remembered: backups and other people's commits may bring a merge too.
  if (holdsMarkers(local.content.body)) {
    const message = `${local.path} still has conflict markers: decide them first`;
    throw new PromptdError("conflict", message);
  }
  const version = versionOf(bench, found, local.content);
  requireValidVersion(version);
  const commit = async () => {
    await keepOverwritten(bench, found);
    const sent = await send(bench, found, local, version);
    const follows =
      bench.label === LATEST_LABEL ||
      version.labels.includes(bench.label) ||
      sent === listed?.version;
    const base = { key: local.key, tags: contentOf(local.content).tags, version: sent };
    const before = record ?? noteFile(local.path, "new_here");
    const noted = follows ? noteBase(before, local, base, "synced") : before;
    bench.metadata.set(name, noteTransfer(noted, "push", bench.now()));
    await bench.metadata.save();
    return sent;
  };
  return { file: local.path, commit };
}

/**
 * The prompt goes, with the versions that it has now and no others: not all places can be
 * held to a revision, and one that is created meanwhile stays. Those that were never synced
 * are kept in backups.
 */
export function prepareWithdraw(bench: Bench, found: Surveyed): Prepared {
  const { name, listed, record } = found;
  if (listed === undefined) throw new TypeError("a prompt that is not there is deleted");
  const commit = async () => {
    const versions = (await bench.remote.versions(name)).map(({ version }) => version);
    // The newest last: it is what comes back first.
    for (const version of versions.toReversed()) {
      if (version <= (record?.remote_version ?? 0) && version !== listed.version) continue;
      const content = await bench.remote.load(name, version);
      await keepRemote(bench, found, content, `version ${version}, deleted by a push`);
    }
    await bench.remote.delete(listed, versions);
    bench.metadata.set(name, undefined);
    await bench.metadata.save();
    return undefined;
  };
  return { ...(record && { file: record.file }), commit };
}

async function send(
  { remote }: Bench,
  { listed, compared }: Surveyed,
  local: LocalFile,
  version: NewVersion,
): Promise<number> {
  const { body, tags } = contentOf(local.content);
  const otherTags =
    listed?.version !== undefined && contentKey({ body, tags: listed.tags }) === compared.remote;
  if (!otherTags) return (await remote.create(version)).version;
  try {
    await remote.setTags(listed, tags, version.commitMessage);
    return listed.version ?? 0;
  } catch (thrown) {
    if (!(thrown instanceof PromptdError) || thrown.code !== "refused") throw thrown;
    // Some places set tags with a version alone.
    return (await remote.create({ ...version, evenIfSame: true })).version;
  }
}

/** An edit of the other side that a push goes over is kept, though it stays a version there. */
async function keepOverwritten(bench: Bench, found: Surveyed): Promise<void> {
  const { compared, remote } = found;
  if (remote === undefined || compared.remote === compared.base) return;
  await keepRemote(bench, found, remote, `version ${remote.version}, overwritten by a push`);
}

async function keepRemote(
  { backups, naming }: Bench,
  { name, local }: Surveyed,
  content: Content,
  why: string,
): Promise<void> {
  const { path, bytes } = fileOf(name, content, local, naming);
  await backups.keep({ name, side: "remote", file: path, why }, bytes);
}

/** Tags that are there already are not sent: one that comes meanwhile stays. */
function versionOf(bench: Bench, { name, listed }: Surveyed, content: FileContent): NewVersion {
  const { body, labels = bench.labels, commitMessage = "" } = content;
  const tags = sortedTags(contentOf(content).tags);
  const sameTags = tags.join("\n") === sortedTags(listed?.tags ?? []).join("\n");
  return {
    name,
    body,
    labels: labels.filter((label) => label !== LATEST_LABEL),
    ...(!sameTags && { tags }),
    commitMessage,
    expectedLatestVersion: listed?.latestVersion ?? 0,
  };
}
