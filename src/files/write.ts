/** Files that are written whole or not at all, and not through links. */

import { randomBytes } from "node:crypto";
import { lstat, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { PromptdError } from "../core/errors.ts";

/**
 * Makes the folders of a path one by one, so that a link on the way is seen.
 *
 * @returns the folder's path in `root`
 * @throws refused where a link or a file stands in the way
 */
export async function makeFolder(root: string, path: string): Promise<string> {
  let folder = root;
  for (const segment of path === "." ? [] : path.split("/")) {
    folder = join(folder, segment);
    await mkdir(folder).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code !== "EEXIST") throw thrown;
    });
    if (!(await lstat(folder)).isDirectory()) {
      throw new PromptdError("refused", `${relative(root, folder)} is not a folder`);
    }
  }
  return folder;
}

/** Writes beside the file and renames, so that nobody reads half of it. */
export async function replaceFile(file: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString("hex")}`);
  try {
    await writeFile(temporary, bytes, { flag: "wx" });
    await rename(temporary, file);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
}
