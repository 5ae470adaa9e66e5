/** A folder and its remote, with short ways to do what people do on both sides, and to look at what is there. */

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PromptdError } from "../../src/core/errors.ts";
import type { PromptBody } from "../../src/core/prompt.ts";
import { Naming } from "../../src/files/naming.ts";
import { METADATA_FILE, type MetadataContent } from "../../src/sync/metadata.ts";
import type { RunReport } from "../../src/sync/report.ts";
import { type Remote, Sync, type SyncParts } from "../../src/sync/sync.ts";

export const text = (template: string): PromptBody => ({
  type: "text",
  format: "mustache",
  template,
  config: {},
});

export class SyncBench {
  readonly folder: string;
  readonly remote: Remote;
  readonly sync: Sync;

  private constructor(folder: string, remote: Remote, more: Partial<SyncParts>) {
    this.folder = folder;
    this.remote = remote;
    this.sync = new Sync({ folder, remote, naming: new Naming("exact"), ...more });
  }

  static async open(remote: Remote, more: Partial<SyncParts> = {}): Promise<SyncBench> {
    const folder = await mkdtemp(join(tmpdir(), "promptd-sync-"));
    return new SyncBench(folder, remote, more);
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The same folder and remote with other parts. */
  with(more: Partial<SyncParts>): SyncBench {
    return new SyncBench(this.folder, more.remote ?? this.remote, more);
  }

  async write(path: string, content: string | Uint8Array): Promise<void> {
    await mkdir(dirname(join(this.folder, path)), { recursive: true });
    await writeFile(join(this.folder, path), content);
  }

  async delete(path: string): Promise<void> {
    await rm(join(this.folder, path));
  }

  /** Undefined where there is no such file. */
  async read(path: string): Promise<string | undefined> {
    return readFile(join(this.folder, path), "utf8").catch(() => undefined);
  }

  /** All files of the folder with what they hold, by path; those of the sync too. */
  async files(): Promise<Record<string, string>> {
    const entries = await readdir(this.folder, { recursive: true, withFileTypes: true });
    const files: Record<string, string> = {};
    for (const entry of entries) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      files[file.slice(this.folder.length + 1)] = await readFile(file, "utf8");
    }
    return files;
  }

  async metadata(): Promise<MetadataContent["prompts"]> {
    return JSON.parse((await this.read(METADATA_FILE)) ?? "{}").prompts;
  }

  /** What the backups hold, newest first. */
  async backedUp(): Promise<{ side: string; content: string | undefined }[]> {
    const backups = await this.sync.backups();
    return Promise.all(
      backups.map(async ({ id, side, file }) => ({
        side,
        content: await this.read(`.promptd/backups/${id}/${file}`),
      })),
    );
  }

  /** Makes a prompt that both sides hold. */
  async hold(name = "p", template = "one\n"): Promise<void> {
    await this.create(name, template);
    await this.sync.init({ force: true });
    await this.sync.pull();
  }

  /** By prompt. */
  async states(): Promise<Record<string, string>> {
    const { prompts } = await this.sync.status();
    return Object.fromEntries(prompts.map(({ name, state }) => [name, state]));
  }

  /** Somebody creates a version there. */
  async create(name: string, template: string): Promise<number> {
    const version = { name, body: text(template), labels: [], commitMessage: "", evenIfSame: true };
    return (await this.remote.source.createVersion(this.remote.caller, version)).version;
  }

  /** Somebody deletes the prompt there. */
  async withdraw(name: string): Promise<void> {
    const edit = { name, versions: "all" as const, reason: "" };
    await this.remote.source.deleteVersions(this.remote.caller, edit);
  }

  /** The texts of all versions there, newest first. */
  async versions(name: string): Promise<string[]> {
    const { source, caller } = this.remote;
    try {
      const { items } = await source.listVersions(caller, name, {}, { size: 200 });
      const versions = items.map(({ version }) => source.load(caller, name, { version }));
      return (await Promise.all(versions)).map(({ body }) => String(body.template));
    } catch (thrown) {
      if (PromptdError.from(thrown).code === "not_found") return [];
      throw thrown;
    }
  }

  /** Deletes all that is there. */
  async clear(): Promise<void> {
    const { source, caller } = this.remote;
    const { items } = await source.listPrompts(caller, {}, { size: 1000 });
    for (const { name } of items) await this.withdraw(name);
  }
}

/** What became of each prompt. */
export function outcomes({ items }: RunReport): Record<string, string> {
  return Object.fromEntries(items.map(({ name, outcome }) => [name, outcome]));
}
