/** The one place that writes files: whole or not at all, and on the disk before it is done. */

import { randomBytes } from "node:crypto";
import { lstat, mkdir, open, readFile, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { PromptdError } from "../core/errors.ts";

/** Is told of each write before it is made; what it throws leaves all as it is then. */
export type OnWrite = (what: string) => void | Promise<void>;

/** The files of a folder, by paths relative to it with `/` between folders. */
export class Disk {
  readonly #root: string;
  readonly #onWrite: OnWrite;

  /** @param root with all links followed */
  constructor(root: string, onWrite: OnWrite = () => {}) {
    this.#root = root;
    this.#onWrite = onWrite;
  }

  /** @returns undefined where there is none @throws refused for anything but a regular file, and for links on the way */
  async read(path: string): Promise<Buffer | undefined> {
    const file = this.#at(path);
    if (!(await this.#hasFolder(dirname(path)))) return undefined;
    const stats = await lstat(file).catch(unlessMissing);
    if (stats === undefined) return undefined;
    if (!stats.isFile()) throw new PromptdError("refused", `${path} is not a regular file`);
    return readFile(file).catch(unlessMissing);
  }

  /** Writes beside the file and renames, whatever stands there. */
  async put(path: string, bytes: Uint8Array): Promise<void> {
    await this.#write(path, bytes, async () => {});
  }

  /**
   * @param seen what was read there before; undefined for no file
   * @throws conflict where something else stands there now
   */
  async replace(path: string, bytes: Uint8Array, seen: Uint8Array | undefined): Promise<void> {
    await this.#write(path, bytes, () => this.#requireAsSeen(path, seen));
  }

  /** @throws conflict where something else stands there now */
  async remove(path: string, seen: Uint8Array): Promise<void> {
    await this.#requireAsSeen(path, seen);
    await this.#onWrite(`remove ${path}`);
    await rm(this.#at(path));
    await this.#sync(dirname(path));
    await this.#removeEmptyFolders(dirname(path));
  }

  /** Gives a file another name, in its folder. @throws conflict where one of that name is there */
  async move(from: string, to: string): Promise<void> {
    await this.#requireAsSeen(to, undefined);
    await this.#onWrite(`move ${from}`);
    await rename(this.#at(from), this.#at(to));
    await this.#sync(dirname(to));
  }

  /** Deletes a folder with all that is in it. */
  async removeFolder(path: string): Promise<void> {
    await this.#onWrite(`remove ${path}`);
    await rm(this.#at(path), { recursive: true, force: true });
  }

  async #write(path: string, bytes: Uint8Array, check: () => Promise<void>): Promise<void> {
    await this.#makeFolder(dirname(path));
    const file = this.#at(path);
    const beside = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString("hex")}`);
    await this.#onWrite(`write ${path}`);
    const standing = await lstat(file).catch(unlessMissing);
    const handle = await open(beside, "wx");
    try {
      try {
        // Who may read it stays as it is.
        if (standing?.isFile()) await handle.chmod(standing.mode & 0o777);
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await check();
    } catch (thrown) {
      await rm(beside, { force: true });
      throw thrown;
    }
    await this.#onWrite(`rename ${path}`);
    await rename(beside, file);
    await this.#sync(dirname(path));
  }

  /** @throws refused for a path that leads out of the folder, as a file with paths may have it */
  #at(path: string): string {
    if (path.split("/").includes("..") || path.startsWith("/")) {
      throw new PromptdError("refused", `${path} leads out of the folder`);
    }
    return join(this.#root, path);
  }

  async #requireAsSeen(path: string, seen: Uint8Array | undefined): Promise<void> {
    const now = await this.read(path);
    if (now === undefined ? seen === undefined : seen !== undefined && now.equals(seen)) return;
    const what = seen === undefined ? "is there now" : "was changed";
    throw new PromptdError("conflict", `${path} ${what} while it was being synced; try again`);
  }

  /**
   * Makes the folders of a path one by one, so that a link on the way is seen.
   *
   * @throws refused where a link or a file stands in the way
   */
  async #makeFolder(path: string): Promise<void> {
    if (await this.#hasFolder(path)) return;
    await this.#makeFolder(dirname(path));
    await this.#onWrite(`make ${path}`);
    await mkdir(this.#at(path), { recursive: true });
    await this.#sync(dirname(path));
  }

  /** @throws refused where a link or a file stands in the way */
  async #hasFolder(path: string): Promise<boolean> {
    if (path === ".") return true;
    const folder = this.#at(path);
    if (!(await this.#hasFolder(dirname(path)))) return false;
    const stats = await lstat(folder).catch(unlessMissing);
    if (stats !== undefined && !stats.isDirectory()) {
      throw new PromptdError("refused", `${path} is not a folder`);
    }
    return stats !== undefined;
  }

  /** Those that a deleted file has left behind. */
  async #removeEmptyFolders(path: string): Promise<void> {
    for (let folder = path; folder !== "."; folder = dirname(folder)) {
      const removed = await rmdir(this.#at(folder)).then(
        () => true,
        () => false,
      );
      if (!removed) return;
    }
  }

  /** What was renamed or made in a folder is lost with the power until then. */
  async #sync(folder: string): Promise<void> {
    const handle = await open(this.#at(folder), "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

function unlessMissing(thrown: NodeJS.ErrnoException): undefined {
  if (thrown.code === "ENOENT") return undefined;
  throw thrown;
}
