import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { type Ended, promptd } from "../cli/promptd.ts";

export interface TestedFolder {
  dir: string;
  put(files: Record<string, string>): Promise<void>;
  /** `promptd test --dir DIR …` */
  test(args?: readonly string[], env?: Record<string, string>): Promise<Ended>;
}

/** A folder of its own for each test of a file. */
export function testedFolder(): TestedFolder {
  const folder: TestedFolder = {
    dir: "",
    async put(files) {
      for (const [path, content] of Object.entries(files)) {
        await mkdir(dirname(join(folder.dir, path)), { recursive: true });
        await writeFile(join(folder.dir, path), content);
      }
    },
    test: (args = [], env = {}) => promptd(["test", "--dir", folder.dir, ...args], { env }),
  };
  beforeEach(async () => {
    folder.dir = await mkdtemp(join(tmpdir(), "promptd-cases-"));
  });
  afterEach(async () => {
    await rm(folder.dir, { recursive: true });
  });
  return folder;
}
