/** What was overwritten or deleted is kept for a while. */

import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { PromptdError } from "../core/errors.ts";
import { isPromptFile } from "../files/scan.ts";
import type { Disk } from "./disk.ts";
import type { Backup } from "./report.ts";

const FOLDER = ".promptd/backups";

const IGNORE_FILE = ".promptd/.gitignore";

/** Of each prompt; older ones are deleted. */
const KEPT = 50;

const ID = /^\d{8}T\d{9}Z-[0-9a-f]{8}$/;

const index = z.strictObject({
  name: z.string(),
  side: z.enum(["local", "remote"]),
  file: z.string().refine(isPromptFile),
  why: z.string(),
  when: z.iso.datetime().transform((text) => new Date(text)),
});

/** A prompt's file begins with no dot, so that it cannot be called this. */
const INDEX = ".index.json";

/** Each backup has a folder: the file under its path, and the index, which is written last. */
export class Backups {
  readonly #root: string;
  readonly #disk: Disk;
  readonly #now: () => number;
  #last = 0;

  constructor(root: string, disk: Disk, now: () => number) {
    this.#root = root;
    this.#disk = disk;
    this.#now = now;
  }

  async keep(what: Omit<Backup, "id" | "when">, bytes: Uint8Array): Promise<void> {
    await ignoreBackups(this.#disk);
    // Each has a time of its own, which is their order.
    this.#last = Math.max(this.#now(), this.#last + 1);
    const when = new Date(this.#last).toISOString();
    const id = `${when.replace(/[-:.]/g, "")}-${randomBytes(4).toString("hex")}`;
    await this.#disk.put(`${FOLDER}/${id}/${what.file}`, bytes);
    const text = `${JSON.stringify({ ...what, when }, null, 2)}\n`;
    await this.#disk.put(`${FOLDER}/${id}/${INDEX}`, Buffer.from(text, "utf8"));
  }

  /** Newest first. What was not kept to its end is passed over: then nothing was overwritten either. */
  async list(name?: string): Promise<Backup[]> {
    const backups: Backup[] = [];
    for (const id of await this.#ids()) {
      const backup = await this.#read(id);
      if (backup !== undefined && (name === undefined || backup.name === name)) {
        backups.push(backup);
      }
    }
    return backups;
  }

  /** @throws not_found */
  async bytes({ id, file }: Backup): Promise<Buffer> {
    const bytes = await this.#disk.read(`${FOLDER}/${id}/${file}`);
    if (bytes === undefined) throw new PromptdError("not_found", `backup ${id} has lost its file`);
    return bytes;
  }

  /** Deletes what is too old to be kept. */
  async prune(): Promise<void> {
    const counts = new Map<string, number>();
    for (const { id, name } of await this.list()) {
      const count = (counts.get(name) ?? 0) + 1;
      counts.set(name, count);
      if (count > KEPT) await this.#disk.removeFolder(`${FOLDER}/${id}`);
    }
  }

  async #ids(): Promise<string[]> {
    const entries = await readdir(join(this.#root, FOLDER)).catch(
      (thrown: NodeJS.ErrnoException) => {
        if (thrown.code === "ENOENT") return [];
        throw thrown;
      },
    );
    return entries
      .filter((entry) => ID.test(entry))
      .sort()
      .reverse();
  }

  async #read(id: string): Promise<Backup | undefined> {
    try {
      const bytes = await this.#disk.read(`${FOLDER}/${id}/${INDEX}`);
      if (bytes === undefined) return undefined;
      return { id, ...index.parse(JSON.parse(bytes.toString("utf8"))) };
    } catch {
      return undefined;
    }
  }
}

/** Writes the file that keeps backups out of commits, where there is none. */
export async function ignoreBackups(disk: Disk): Promise<void> {
  if ((await disk.read(IGNORE_FILE)) !== undefined) return;
  await disk.put(IGNORE_FILE, Buffer.from("/backups/\n"));
}
