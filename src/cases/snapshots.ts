/** What prompts were once compiled to, beside the folder's files: `.promptd/snapshots/PATH.yaml`. */

import { readdir, readFile, realpath, rm, stat } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { PromptdError } from "../core/errors.ts";
import type { ChatMessage } from "../core/prompt.ts";
import { unicodeText } from "../files/header.ts";
import { strictKeys } from "../files/keys.ts";
import { realFolder, reasonOf } from "../files/scan.ts";
import { decodeUtf8 } from "../files/text.ts";
import { makeFolder, replaceFile } from "../files/write.ts";
import { readYamlKeys, writeYaml } from "../files/yaml.ts";

/** A text or a chat. */
export type Snapshot = string | ChatMessage[];

/** Of one prompt, by the names of its cases. */
export type Snapshots = ReadonlyMap<string, Snapshot>;

/** What a prompt's file of snapshots holds; `problem` where it cannot be read. */
export interface KeptSnapshots {
  /** The path of the prompt's file without its ending. */
  stem: string;
  snapshots: Snapshots;
  problem?: string;
}

const FOLDER = ".promptd/snapshots";
const ENDING = ".yaml";

/** A file larger than this holds other things than snapshots. */
const MAX_BYTES = 16 * 1024 * 1024;

const SNAPSHOT = z.union([
  unicodeText(),
  z.array(strictKeys({ role: unicodeText(), content: unicodeText() })),
]);

export class SnapshotFolder {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  /** @param dir the folder of prompts @throws invalid where there is none */
  static async open(dir: string): Promise<SnapshotFolder> {
    return new SnapshotFolder(await realFolder(dir));
  }

  /** Relative to the folder of prompts. @param stem path of the prompt's file without its ending */
  pathOf(stem: string): string {
    return `${FOLDER}/${stem}${ENDING}`;
  }

  /** None where there is no file. */
  async kept(stem: string): Promise<KeptSnapshots> {
    const file = join(this.#root, this.pathOf(stem));
    try {
      // A link of a pull request may lead to what is not to be told.
      if ((await realpath(file)) !== file) throw new PromptdError("refused", "is a link");
      const { size } = await stat(file);
      if (size > MAX_BYTES) {
        throw new PromptdError("refused", `has ${size} bytes, expected at most ${MAX_BYTES}`);
      }
      return { stem, snapshots: snapshotsOf(decodeUtf8(await readFile(file))) };
    } catch (thrown) {
      const snapshots: Snapshots = new Map();
      if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return { stem, snapshots };
      const why = thrown instanceof PromptdError ? thrown.message : reasonOf(thrown);
      return { stem, snapshots, problem: `${this.pathOf(stem)}: ${why}` };
    }
  }

  /** Whole or not at all; no file where there is no snapshot. */
  async write(stem: string, snapshots: Snapshots): Promise<void> {
    const path = this.pathOf(stem);
    const folder = await makeFolder(this.#root, dirname(path));
    const file = join(folder, basename(path));
    if (snapshots.size === 0) await rm(file, { force: true });
    else await replaceFile(file, Buffer.from(snapshotText(snapshots), "utf8"));
  }

  /** Of all prompts that have a file here, in order. */
  async stems(): Promise<string[]> {
    const root = join(this.#root, FOLDER);
    // A link may lead to all of the machine.
    if ((await realpath(root).catch(() => "")) !== root) return [];
    const found = await readdir(root, { withFileTypes: true, recursive: true }).catch(() => []);
    return found
      .filter((entry) => entry.isFile() && entry.name.endsWith(ENDING))
      .map(({ parentPath, name }) => join(parentPath, name).slice(root.length + 1, -ENDING.length))
      .map((stem) => stem.split(sep).join("/"))
      .sort();
  }
}

const HEAD = "# Written by `promptd test --update`.\n";

/** In order of name; lines stand as they are. */
export function snapshotText(snapshots: Snapshots): string {
  const inOrder = [...snapshots].sort(([a], [b]) => (a < b ? -1 : 1));
  return HEAD + inOrder.map(([name, snapshot]) => entryText(name, snapshot)).join("");
}

/** What a block of YAML would not give back, such as a line of nothing but blanks, is in quotes. */
function entryText(name: string, snapshot: Snapshot): string {
  const block = writeYaml({ [name]: snapshot });
  return readsBack(block, name, snapshot)
    ? block
    : `${JSON.stringify(name)}: ${JSON.stringify(snapshot)}\n`;
}

function readsBack(yaml: string, name: string, snapshot: Snapshot): boolean {
  try {
    return isDeepStrictEqual(snapshotsOf(yaml).get(name), snapshot);
  } catch {
    return false;
  }
}

/** @throws invalid with the line */
export function snapshotsOf(yaml: string): Snapshots {
  const { fields, where } = readYamlKeys(yaml, 1);
  return new Map(
    Object.entries(fields).map(([name, value]) => {
      const parsed = SNAPSHOT.safeParse(value);
      if (parsed.success) return [name, parsed.data];
      const expected = "expected a text, or a list of messages";
      throw new PromptdError("invalid", `${where(name)}${JSON.stringify(name)}: ${expected}`);
    }),
  );
}
