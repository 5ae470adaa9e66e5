import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LangfuseService, startWithKeys } from "../langfuse/service.ts";
import { hasCurl, SKIPPED_WITHOUT_CURL } from "../support/curl.ts";
import { installPromptd } from "../support/installed.ts";

/** A command of a transcript, and what it printed. */
interface Entry {
  command: string;
  output: string;
}

/** The console blocks of a page, by the heading that they stand under, in order. */
function transcripts(page: string): { heading: string; entries: Entry[] }[] {
  const found: { heading: string; entries: Entry[] }[] = [];
  let heading = "";
  let inside = false;
  for (const line of page.split("\n")) {
    if (inside && line === "```") inside = false;
    else if (inside) take(line, found.at(-1)?.entries ?? []);
    else if (line.startsWith("#")) heading = line.replace(/^#+ /, "");
    else if (line === "```console") {
      inside = true;
      if (found.at(-1)?.heading !== heading) found.push({ heading, entries: [] });
    }
  }
  return found;
}

function take(line: string, entries: Entry[]): void {
  const last = entries.at(-1);
  if (line.startsWith("$ ")) entries.push({ command: line.slice(2), output: "" });
  else if (line.startsWith("> ") && last?.output === "") last.command += `\n${line.slice(2)}`;
  else if (last !== undefined) last.output += `${line}\n`;
}

/** What differs with every run is written like this. */
function settled(output: string, address: string): string {
  return output
    .replaceAll(address, "https://langfuse.example.com")
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, "2027-01-31T12:00:00Z")
    .replace(/\d{8}T\d{9}Z-[0-9a-f]{8}/g, "20270131T120000000Z-0a1b2c3d")
    .replace(/key_[0-9a-f]{16}/g, "key_0123456789abcdef");
}

const PAGES = ["docs/sync.md", "docs/deploy.md"];

describe.skipIf(!hasCurl).each(PAGES)(`%s${SKIPPED_WITHOUT_CURL}`, (page) => {
  let langfuse: LangfuseService;
  let folder: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    // Its Langfuse API, through which a page edits, stands for a Langfuse.
    langfuse = await startWithKeys();
    folder = mkdtempSync(join(tmpdir(), "promptd-transcripts-"));
    const bin = join(folder, "bin");
    installPromptd(bin);
    env = {
      PATH: `${bin}:${process.env.PATH}`,
      HOME: folder,
      PROMPTD_ADDRESS: langfuse.runtime.grpcAddress,
      PROMPTD_API_KEY: langfuse.admin.secretKey,
      LANGFUSE_HOST: langfuse.baseUrl,
      LANGFUSE_PUBLIC_KEY: langfuse.admin.publicKey,
      LANGFUSE_SECRET_KEY: langfuse.admin.secretKey,
    };
    mkdirSync(join(folder, "project"));
  });

  afterAll(async () => {
    await langfuse.close();
    rmSync(folder, { recursive: true });
  });

  async function printed(command: string): Promise<string> {
    const options = { cwd: join(folder, "project"), env };
    const args = ["-c", `exec 2>&1\n${command}`];
    const { stdout } = await promisify(execFile)("bash", args, options).catch((ended) => ended);
    return settled(stdout, langfuse.baseUrl);
  }

  // Each goes on where the one before ended, as the page does.
  it.each(transcripts(readFileSync(page, "utf8")).map((each) => [each.heading, each] as const))(
    "%s",
    async (_, { entries }) => {
      expect(entries.length).toBeGreaterThan(0);
      const done: Entry[] = [];
      for (const { command } of entries) {
        done.push({ command, output: await printed(command) });
      }
      expect(done).toEqual(entries);
    },
    120_000,
  );
});
