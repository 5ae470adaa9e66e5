/** What is remembered of the last sync: one file to commit. */

import { isDeepStrictEqual } from "node:util";
import pLimit from "p-limit";
import { z } from "zod";
import { PromptdError } from "../core/errors.ts";
import { SYNC_STATES } from "../core/sync/state.ts";
import { isPromptFile } from "../files/scan.ts";
import type { Disk } from "./disk.ts";

/** Where it lies, relative to the folder. */
export const METADATA_FILE = ".promptd/sync.json";

const hash = z.string().regex(/^[0-9a-f]{64}$/, "expected a SHA-256 in hex");
const time = z.iso.datetime();

const record = z.strictObject({
  /** Relative to the folder. */
  file: z.string().refine(isPromptFile, "expected the path of a prompt's file"),
  /** Key of the content that both sides held last; null where they never agreed. */
  base: hash.nullable(),
  /** Of that content, which versions do not hold. */
  tags: z.array(z.string()),
  /** SHA-256 of the file's bytes then. */
  local_checksum: hash.nullable(),
  /** The version that has that content. */
  remote_version: z.int().min(1).nullable(),
  /** Of the prompt when it was seen last with that content. */
  remote_updated_at: time.nullable(),
  pulled_at: time.optional(),
  pushed_at: time.optional(),
  direction: z.enum(["pull", "push"]).nullable(),
  /** When something was done last. */
  status: z.enum(SYNC_STATES),
  edited: z.literal(true).optional(),
  merging: z.literal(true).optional(),
});

const metadata = z.strictObject({
  format: z.literal(1),
  remote: z.string(),
  label: z.string(),
  prompts: z.record(z.string(), record),
});

export type PromptRecord = z.output<typeof record>;
export type MetadataContent = z.output<typeof metadata>;

/** The metadata of a folder, in memory and on disk. */
export class Metadata {
  readonly remote: string;
  readonly label: string;
  readonly #prompts: Map<string, PromptRecord>;
  readonly #disk: Disk;
  /** What the file held when it was read or written last, as text and as records. */
  #written: string;
  #known: ReadonlyMap<string, PromptRecord>;
  readonly #oneByOne = pLimit(1);

  private constructor(disk: Disk, { remote, label, prompts }: MetadataContent, written: string) {
    this.#disk = disk;
    this.remote = remote;
    this.label = label;
    this.#prompts = new Map(Object.entries(prompts));
    this.#written = written;
    this.#known = new Map(this.#prompts);
  }

  /**
   * @param remote undefined: whichever it is of
   * @throws refused where it is missing, corrupt, or that of another remote
   */
  static async open(disk: Disk, remote?: string): Promise<Metadata> {
    const bytes = await disk.read(METADATA_FILE);
    if (bytes === undefined) {
      const message = "this folder is not synced yet: run promptd sync init";
      throw new PromptdError("refused", message);
    }
    const text = bytes.toString("utf8");
    const content = parse(text);
    if (remote !== undefined && content.remote !== remote) {
      const message = `this folder is synced with ${content.remote}, not with ${remote}; promptd sync init --force begins anew`;
      throw new PromptdError("refused", message);
    }
    return new Metadata(disk, content, text);
  }

  /** One without prompts, which is written when it is saved. */
  static begin(disk: Disk, remote: string, label: string): Metadata {
    return new Metadata(disk, { format: 1, remote, label, prompts: {} }, "");
  }

  get names(): Iterable<string> {
    return this.#prompts.keys();
  }

  /** The prompts of files that were synced, by path. */
  files(): Map<string, string> {
    return new Map([...this.#prompts].map(([name, { file }]) => [file, name]));
  }

  get(name: string): PromptRecord | undefined {
    return this.#prompts.get(name);
  }

  /** Undefined forgets the prompt. It is on disk once it is saved. */
  set(name: string, record: PromptRecord | undefined): void {
    if (record === undefined) this.#prompts.delete(name);
    else this.#prompts.set(name, record);
  }

  /** Writes what was set so far. Those who ask at the same time share a write. */
  async save(): Promise<void> {
    await this.#oneByOne(async () => {
      await this.#takeOthers();
      const text = this.#text();
      if (text === this.#written) return;
      const known = new Map(this.#prompts);
      await this.#disk.put(METADATA_FILE, Buffer.from(text, "utf8"));
      this.#written = text;
      this.#known = known;
    });
  }

  /**
   * Takes what another command has written since, but for prompts that were set here.
   *
   * @throws refused where that is corrupt
   */
  async refresh(): Promise<void> {
    await this.#oneByOne(() => this.#takeOthers());
  }

  async #takeOthers(): Promise<void> {
    const text = (await this.#disk.read(METADATA_FILE))?.toString("utf8");
    const isBegun = this.#written === "";
    if (isBegun || text === undefined || text === this.#written) return;
    const others = new Map(Object.entries(parse(text).prompts));
    for (const name of new Set([...this.#known.keys(), ...others.keys()])) {
      const [known, other] = [this.#known.get(name), others.get(name)];
      if (known !== undefined && isDeepStrictEqual(known, other)) others.set(name, known);
      else if (this.#prompts.get(name) === known) this.set(name, other);
    }
    this.#written = text;
    this.#known = others;
  }

  #text(): string {
    const names = [...this.#prompts.keys()].sort();
    const prompts = Object.fromEntries(
      names.map((name) => [name, inOrder(this.#prompts.get(name))]),
    );
    const content = { format: 1, remote: this.remote, label: this.label, prompts };
    return `${JSON.stringify(content, null, 2)}\n`;
  }
}

/** Always the same, so that a commit shows what has changed. */
function inOrder(of: PromptRecord | undefined): Partial<PromptRecord> {
  const keys = Object.keys(record.shape) as (keyof PromptRecord)[];
  return Object.fromEntries(keys.map((key) => [key, of?.[key]]));
}

function parse(text: string): MetadataContent {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw corrupt("it is not JSON, as after a merge that was left half done");
  }
  const { success, data, error } = metadata.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  throw corrupt(`${issue?.path.join(".") || "it"}: ${issue?.message}`);
}

function corrupt(why: string): PromptdError {
  const message = `${METADATA_FILE} cannot be used: ${why}; promptd sync init --force makes a new one`;
  return new PromptdError("refused", message);
}
