/** Goes on from what another program noted of its syncs. Nothing is believed that cannot be proved. */

import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { basename, dirname, extname, join, relative, sep } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pLimit from "p-limit";
import { PromptdError } from "../core/errors.ts";
import { LATEST_LABEL } from "../core/prompt.ts";
import { ENDINGS } from "../files/prompt-file.ts";
import { realFolder } from "../files/scan.ts";
import { contentKey, sortedTags } from "./contents.ts";
import { Disk } from "./disk.ts";
import { METADATA_FILE, Metadata, type PromptRecord } from "./metadata.ts";
import { type Remembered, readOtherMetadata } from "./other-metadata.ts";
import { RemoteSide } from "./remote-side.ts";
import type { Remote } from "./sync.ts";

/** Prompts that are looked at together. */
const CONCURRENT = 8;

/** Of a prompt whose version nobody noted, the newest so many are compared. */
const MOST_VERSIONS = 50;

export interface ImportMetadata {
  folder: string;
  remote: Remote;
  /** The other program's file or folder. */
  from: string;
  /** Absent: the one label that all prompts were synced with. */
  label?: string;
  force?: boolean;
}

export interface MetadataImported {
  /** Prompts whose last sync is proved. */
  taken: string[];
  /** Of the others nobody knows what both sides held last. */
  unproved: { name: string; why: string }[];
  /** Prompts that cannot be synced in this folder. */
  passedOver: { name: string; why: string }[];
}

/**
 * What both sides held last is what a version holds whose text has the checksum that was
 * noted. Tags and config were not noted, so they are those of the version.
 *
 * @throws refused where there is metadata already and it is not forced, invalid
 */
export async function importMetadata(asked: ImportMetadata): Promise<MetadataImported> {
  const { folder, remote, from, force = false } = asked;
  const root = await realFolder(folder);
  const disk = new Disk(root);
  if (!force && (await disk.read(METADATA_FILE)) !== undefined) {
    const message = `${METADATA_FILE} is there already; --force replaces it, and forgets what it says`;
    throw new PromptdError("refused", message);
  }
  const remembered = await readOtherMetadata(from);
  const metadata = Metadata.begin(disk, remote.identity, asked.label ?? labelOf(remembered));
  const side = new RemoteSide(remote.source, remote.caller, sleep);
  const imported: MetadataImported = { taken: [], unproved: [], passedOver: [] };
  const proofs = await pLimit(CONCURRENT).map(remembered, async (noted) => {
    const file = await pathIn(root, noted.file);
    return { noted, file, proof: file === undefined ? "" : await proofOf(side, noted) };
  });
  for (const { noted, file, proof } of proofs) {
    const { name } = noted;
    if (file === undefined) {
      const why = `${noted.file} is no prompt file in ${folder}`;
      imported.passedOver.push({ name, why });
      continue;
    }
    metadata.set(name, recordOf(noted, file, proof));
    if (typeof proof === "string") imported.unproved.push({ name, why: proof });
    else imported.taken.push(name);
  }
  await metadata.save();
  return imported;
}

/** The version that both sides held last. */
type Proved = Pick<PromptRecord, "base" | "tags"> & { version: number };

/** What the other side refuses for one prompt, such as its name, stops no other. */
async function proofOf(side: RemoteSide, noted: Remembered): Promise<Proved | string> {
  try {
    return await prove(side, noted);
  } catch (thrown) {
    if (!(thrown instanceof PromptdError)) throw thrown;
    if (thrown.code !== "invalid" && thrown.code !== "forbidden") throw thrown;
    return `the other side: ${thrown.message}`;
  }
}

/** @returns why not, where nothing is proved */
async function prove(
  side: RemoteSide,
  { name, checksum, version }: Remembered,
): Promise<Proved | string> {
  if (checksum === undefined) return "no SHA-256 of what was synced last is noted";
  const numbers = version === undefined ? await newest(side, name) : [version];
  for (const number of numbers) {
    const found = await loadIfThere(side, name, number);
    if (found === undefined || found.body.type !== "text") continue;
    if (sha256(found.body.template) !== checksum) continue;
    return { base: contentKey(found), tags: sortedTags(found.tags), version: number };
  }
  if (version !== undefined) return `version ${version} does not have the noted checksum`;
  return `none of the newest ${numbers.length} versions has the noted checksum`;
}

async function newest(side: RemoteSide, name: string): Promise<number[]> {
  const versions = await side.versions(name);
  return versions.slice(0, MOST_VERSIONS).map(({ version }) => version);
}

async function loadIfThere(side: RemoteSide, name: string, version: number) {
  try {
    return await side.load(name, version);
  } catch (thrown) {
    if (thrown instanceof PromptdError && thrown.code === "not_found") return undefined;
    throw thrown;
  }
}

/** The next command sees the states. When the version was seen is left open, so that it looks. */
function recordOf(noted: Remembered, file: string, proof: Proved | string): PromptRecord {
  const { pulledAt, pushedAt, direction = null, edited } = noted;
  const proved = typeof proof === "string" ? undefined : proof;
  return {
    file,
    base: proved?.base ?? null,
    tags: proved?.tags ?? [],
    local_checksum: proved ? (noted.checksum ?? null) : null,
    remote_version: proved?.version ?? null,
    remote_updated_at: null,
    ...(pulledAt && { pulled_at: pulledAt.toISOString() }),
    ...(pushedAt && { pushed_at: pushedAt.toISOString() }),
    direction,
    status: proved ? "synced" : "conflict",
    ...(edited && { edited }),
  };
}

/** @throws invalid where prompts follow several labels */
function labelOf(remembered: readonly Remembered[]): string {
  const labels = [...new Set(remembered.flatMap(({ label }) => label ?? []))].sort();
  if (labels.length <= 1) return labels[0] ?? LATEST_LABEL;
  const message = `prompts were synced with the labels ${labels.join(", ")}: say by --label which one is followed`;
  throw new PromptdError("invalid", message);
}

/** A file's path in the folder, with `/` between folders; undefined where it is no prompt file there. */
async function pathIn(root: string, file: string): Promise<string | undefined> {
  const folder = await realpath(dirname(file)).catch(() => undefined);
  if (folder === undefined || !ENDINGS.includes(extname(file))) return undefined;
  const path = relative(root, join(folder, basename(file))).split(sep);
  return path.some((part) => part.startsWith(".")) || path[0] === "" ? undefined : path.join("/");
}

function sha256(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}
