/** The three sides of a prompt side by side. */

import { patchText } from "../files/patch.ts";
import { writePrompt } from "../files/prompt-format.ts";
import { type Content, contentKey, sortedTags } from "./contents.ts";
import { contentOf } from "./local-side.ts";
import type { PromptRecord } from "./metadata.ts";
import type { RemoteSide } from "./remote-side.ts";
import type { DiffSide, PromptDiff } from "./report.ts";
import type { Surveyed } from "./survey.ts";

export async function diffOf(remote: RemoteSide, found: Surveyed): Promise<PromptDiff> {
  const { name, file, state, why, local, record, listed } = found;
  const told = { name, ...(file !== undefined && { file }), state };
  if (why !== undefined) return { ...told, why, patches: [] };
  const base = await baseOf(remote, name, record);
  const sides = {
    ...(base && { base: { ...side(base), version: base.version } }),
    ...(local && { local: side(contentOf(local.content), local.content.labels) }),
    ...(listed?.version !== undefined && { remote: await remoteSide(remote, found) }),
  };
  return { ...told, ...sides, patches: patchesOf(name, sides) };
}

/** What both sides held last; undefined where there is nothing, or it is not to be had any more. */
export async function baseOf(
  remote: RemoteSide,
  name: string,
  record: PromptRecord | undefined,
): Promise<(Content & { version: number }) | undefined> {
  if (record === undefined || record.base === null || record.remote_version === null) {
    return undefined;
  }
  const version = await remote.loadIfThere(name, record.remote_version);
  if (version === undefined) return undefined;
  const content = { body: version.body, tags: record.tags };
  // Some places give a number again once its version was deleted.
  if (contentKey(content) !== record.base) return undefined;
  return { ...content, version: record.remote_version };
}

async function remoteSide(side: RemoteSide, { name, remote, listed }: Surveyed): Promise<DiffSide> {
  const version = remote ?? (await side.load(name, listed?.version ?? 0));
  return { ...text(version), version: version.version, labels: version.labels };
}

function side(content: Content, labels?: readonly string[]): DiffSide {
  return { ...text(content), ...(labels && { labels }) };
}

/** As a `.prompt` file has it, whether or not it could be read back. */
function text({ body, tags }: Content): { text: string } {
  return { text: writePrompt({ body, ...(tags.length > 0 && { tags: sortedTags(tags) }) }) };
}

function patchesOf(
  name: string,
  sides: { base?: DiffSide; local?: DiffSide; remote?: DiffSide },
): PromptDiff["patches"] {
  const { base, local, remote } = sides;
  const patch = (from: "base" | "remote", to: "local" | "remote") => {
    const [before, after] = [sides[from], sides[to]];
    if (before?.text === after?.text) return [];
    const texts = [before?.text ?? "", after?.text ?? ""] as const;
    const titles = [`${name} (${from})`, `${name} (${to})`] as const;
    return [{ from, to, text: patchText(titles, texts) }];
  };
  if (base !== undefined) return [...patch("base", "local"), ...patch("base", "remote")];
  if (local === undefined && remote !== undefined) return patch("base", "remote");
  return patch("remote", "local");
}
