import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/** A path that nothing is at, in a directory that is removed after the file's tests. */
export function temporaryFile(): string {
  const directory = mkdtempSync(join(tmpdir(), "promptd-fuzz-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, "promptd.db");
}
