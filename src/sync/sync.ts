/** Two-way sync between a folder of prompt files and a place where prompts live. */

import { setTimeout as sleep } from "node:timers/promises";
import { PromptdError } from "../core/errors.ts";
import { LATEST_LABEL } from "../core/prompt.ts";
import { type Direction, stepOf } from "../core/sync/plan.ts";
import type { Naming } from "../files/naming.ts";
import { realFolder } from "../files/scan.ts";
import { Backups, ignoreBackups } from "./backups.ts";
import { diffOf } from "./diff.ts";
import { Disk, type OnWrite } from "./disk.ts";
import { writeEdit } from "./folder-steps.ts";
import { beginMetadata } from "./init.ts";
import { METADATA_FILE, Metadata } from "./metadata.ts";
import { agreedWithRemote, noteBase, noteFile } from "./notes.ts";
import type { Remote, RunOptions, Selection, SyncSettings, WatchOptions } from "./options.ts";
import type { Bench } from "./parts.ts";
import { RemoteSide } from "./remote-side.ts";
import type {
  Backup,
  InitReport,
  Progress,
  PromptDiff,
  PromptLog,
  RunReport,
  StatusReport,
  WatchRound,
} from "./report.ts";
import { resolution, type Strategy } from "./resolve.ts";
import { restoreBackup } from "./restore.ts";
import { run } from "./run.ts";
import { selects } from "./selection.ts";
import { statusOf } from "./status.ts";
import { type Survey, type Surveyed, survey } from "./survey.ts";
import { ticks } from "./watch.ts";

export type { Remote, RunOptions, Selection, Strategy, SyncSettings, WatchOptions };

export interface SyncParts {
  folder: string;
  /** Without what was synced before. */
  naming: Naming;
  remote: Remote;
  settings?: SyncSettings;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Waits where the other side asks to be waited for. */
  sleep?: (ms: number) => Promise<unknown>;
  onProgress?: (progress: Progress) => void;
  /** Is told of each write before it is made. */
  onWrite?: OnWrite;
}

/** Looks again where nobody tells of changes. */
const INTERVAL_MS = 30_000;

/** Changes of one doing come together. */
const DEBOUNCE_MS = 200;

/** Every method throws `refused` without metadata, and for metadata of another remote; all but `init`. */
export class Sync {
  readonly #parts: SyncParts;
  readonly #remote: RemoteSide;
  readonly #now: () => number;

  constructor(parts: SyncParts) {
    this.#parts = parts;
    const { source, caller } = parts.remote;
    this.#remote = new RemoteSide(source, caller, parts.sleep ?? ((ms) => sleep(ms)));
    this.#now = parts.now ?? Date.now;
  }

  /**
   * Remembers what both sides hold alike, and decides nothing about what differs.
   *
   * @throws refused where there is metadata already and it is not forced
   */
  async init({ force, label }: { force?: boolean; label?: string } = {}): Promise<InitReport> {
    const { root, disk } = await this.#folder();
    if (force !== true && (await disk.read(METADATA_FILE)) !== undefined) {
      const message = "this folder is synced already: promptd sync init --force begins anew";
      throw new PromptdError("refused", message);
    }
    const chosen = label ?? this.#parts.settings?.label ?? LATEST_LABEL;
    const metadata = Metadata.begin(disk, this.#parts.remote.identity, chosen);
    const found = await this.#survey(root, metadata, chosen, () => true);
    beginMetadata(metadata, found.prompts);
    await ignoreBackups(disk);
    await metadata.save();
    const status = await this.status({ label: chosen });
    return { synced: status.counts.synced ?? 0, status };
  }

  async status(options: Selection & { label?: string } = {}): Promise<StatusReport> {
    const { bench, found } = await this.#look(options);
    return statusOf(this.#parts.remote.identity, bench.label, found);
  }

  /** Of the prompts that are not synced. */
  async diff(options: Selection & { label?: string } = {}): Promise<PromptDiff[]> {
    const { found } = await this.#look(options);
    const differing = found.prompts.filter(({ state }) => state !== "synced" && state !== "gone");
    return Promise.all(differing.map((each) => diffOf(this.#remote, each)));
  }

  pull(options: RunOptions = {}): Promise<RunReport> {
    return this.#transfer("pull", options);
  }

  push(options: RunOptions = {}): Promise<RunReport> {
    return this.#transfer("push", options);
  }

  /**
   * Decides a conflict, in the folder alone: a push sends what came of it. Where the remote side is
   * right otherwise, what was kept of the file is marked as edited.
   *
   * @throws not_found
   */
  async resolve(
    name: string,
    strategy: Strategy,
    { dryRun = false, label }: { dryRun?: boolean; label?: string } = {},
  ): Promise<RunReport> {
    const { bench, found } = await this.#lookAt(name, label);
    const decide = (each: Surveyed) => {
      if (strategy !== "merge") return resolution(each, strategy);
      return { act: each.state === "conflict" ? "merge" : "keep" } as const;
    };
    const report = await this.#run(bench, "resolve", [found], decide, dryRun);
    const isKept = report.items.some(({ outcome }) => outcome === "rebase" || outcome === "merge");
    if (isKept && !dryRun && found.local && this.#parts.settings?.authority === "remote") {
      await this.markEdited(name);
    }
    return report;
  }

  /** Says that a file was edited on purpose, or takes it back. @throws not_found where there is none */
  async markEdited(name: string, edited = true): Promise<void> {
    const { bench, found } = await this.#lookAt(name);
    const { local, record, state } = found;
    if (local === undefined || state === "gone" || state === "unreadable") {
      throw new PromptdError("not_found", `prompt "${name}" has no file that can be read`);
    }
    const { edited: _, ...rest } = record ?? noteFile(local.path, state);
    bench.metadata.set(name, { ...rest, ...(edited && { edited: true as const }) });
    await bench.metadata.save();
  }

  /**
   * Puts the content of a version into the file, as a marked edit of what is there now.
   *
   * @throws not_found, refused for a prompt that cannot be read
   */
  async rollback(name: string, version: number): Promise<{ file: string }> {
    const { bench, found } = await this.#lookAt(name);
    if (found.why !== undefined) throw new PromptdError("refused", found.why);
    const content = await this.#remote.load(name, version);
    const file = await writeEdit(bench, found, content, `replaced by version ${version}`);
    if (found.compared.remote !== undefined) {
      const base = agreedWithRemote(found);
      bench.metadata.set(name, noteBase(found.record, file, base, "modified_locally"));
      await bench.metadata.save();
    }
    await this.markEdited(name);
    return { file: file.path };
  }

  /** @throws not_found where nobody has ever heard of it */
  async log(name: string): Promise<PromptLog> {
    const bench = await this.#bench({});
    const versions = await this.#remote.versions(name);
    const backups = await bench.backups.list(name);
    if (versions.length + backups.length === 0 && bench.metadata.get(name) === undefined) {
      throw new PromptdError("not_found", `nothing is known of a prompt "${name}"`);
    }
    const { file, remote_version, pulled_at, pushed_at } = bench.metadata.get(name) ?? {};
    return {
      name,
      versions,
      backups,
      ...(file !== undefined && { file }),
      ...(typeof remote_version === "number" && { baseVersion: remote_version }),
      ...(pulled_at !== undefined && { pulledAt: new Date(pulled_at) }),
      ...(pushed_at !== undefined && { pushedAt: new Date(pushed_at) }),
    };
  }

  /** Newest first. */
  async backups(name?: string): Promise<Backup[]> {
    const { root, disk } = await this.#folder();
    return new Backups(root, disk, this.#now).list(name);
  }

  /** Brings a backup's file back, the prompt's newest unless `at` says which. @throws not_found */
  async restore(which: { name?: string; at?: string }): Promise<Backup> {
    return restoreBackup(await this.#bench({}), which);
  }

  /** Pulls now and whenever something changes, until the signal is aborted. */
  async *watch({
    intervalMs,
    debounceMs,
    signal,
    ...options
  }: WatchOptions): AsyncGenerator<WatchRound> {
    const times = {
      intervalMs: intervalMs ?? INTERVAL_MS,
      debounceMs: debounceMs ?? DEBOUNCE_MS,
    };
    for await (const _ of ticks({ signal, ...times, changes: this.#parts.remote.changes })) {
      try {
        yield { report: await this.pull(options) };
      } catch (thrown) {
        if (!(thrown instanceof PromptdError)) throw thrown;
        yield { error: thrown };
      }
    }
  }

  async #transfer(direction: Direction, options: RunOptions): Promise<RunReport> {
    const { bench, found } = await this.#look(options);
    const plan = { ...this.#parts.settings, ...options };
    const decide = ({ compared }: Surveyed) => stepOf(direction, compared, plan);
    return this.#run(bench, direction, found.prompts, decide, options.dryRun ?? false);
  }

  #run(
    bench: Bench,
    command: RunReport["command"],
    prompts: readonly Surveyed[],
    decide: Parameters<typeof run>[0]["decide"],
    dryRun: boolean,
  ): Promise<RunReport> {
    const onProgress = this.#parts.onProgress ?? (() => {});
    return run({ bench, command, prompts, decide, dryRun, onProgress });
  }

  /** @throws not_found for a name that is on neither side */
  async #look(
    options: Selection & Pick<SyncSettings, "label" | "labels">,
  ): Promise<{ bench: Bench; found: Survey }> {
    const { names = [] } = options;
    const { bench, found } = await this.#lookFor(options, selects(names));
    const missing = names.find((name) => !found.prompts.some((each) => selects([name])(each.name)));
    if (missing !== undefined) throw nowhere(missing);
    return { bench, found };
  }

  /** @param name no pattern @throws not_found */
  async #lookAt(name: string, label?: string): Promise<{ bench: Bench; found: Surveyed }> {
    const options = label === undefined ? {} : { label };
    const { bench, found } = await this.#lookFor(options, (each) => each === name);
    const [only] = found.prompts;
    if (only === undefined) throw nowhere(name);
    return { bench, found: only };
  }

  async #lookFor(
    options: Pick<SyncSettings, "label" | "labels">,
    isAsked: (name: string) => boolean,
  ): Promise<{ bench: Bench; found: Survey }> {
    const bench = await this.#bench(options);
    const found = await this.#survey(bench.root, bench.metadata, bench.label, isAsked);
    return { bench: { ...bench, naming: found.naming }, found };
  }

  async #bench({ label, labels }: Pick<SyncSettings, "label" | "labels">): Promise<Bench> {
    const { root, disk } = await this.#folder();
    const { settings = {}, naming, remote } = this.#parts;
    const metadata = await Metadata.open(disk, remote.identity);
    return {
      root,
      disk,
      metadata,
      naming,
      backups: new Backups(root, disk, this.#now),
      remote: this.#remote,
      label: label ?? settings.label ?? metadata.label,
      labels: labels ?? settings.labels ?? [],
      now: this.#now,
    };
  }

  async #folder(): Promise<{ root: string; disk: Disk }> {
    const root = await realFolder(this.#parts.folder);
    return { root, disk: new Disk(root, this.#parts.onWrite) };
  }

  #survey(
    root: string,
    metadata: Metadata,
    label: string,
    isAsked: (name: string) => boolean,
  ): Promise<Survey> {
    const { naming, onProgress = () => {} } = this.#parts;
    const parts = { folder: root, naming, remote: this.#remote, metadata, label };
    return survey({ ...parts, isAsked, onProgress });
  }
}

function nowhere(name: string): PromptdError {
  return new PromptdError("not_found", `no prompt "${name}" is here or there`);
}
